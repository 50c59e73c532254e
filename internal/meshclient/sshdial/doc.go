// Package sshdial connects to hosts over SSH and runs commands there as root. It
// knows nothing of what the hosts are for: no cluster, no record, no agent of ours.
//
// A Router makes an Endpoint of settings (Config, OwnSettings) and ~/.ssh/config:
// address, way, login, known host keys. A Pool has one Conn per Endpoint, dials it
// when it is first needed, and remembers the host keys. A Conn runs scripts (Exec)
// and speaks HTTP with a command that takes it on stdin (HTTP).
//
// Its errors are typed, and fit to be read by a user. They name settings as the
// provider's ssh block does.
package sshdial
