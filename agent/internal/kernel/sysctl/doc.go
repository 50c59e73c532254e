// Package sysctl reads and writes kernel settings below /proc/sys, and keeps what the
// host's own were before us.
//
// A setting is of a network namespace, of a link in it, or of the whole host
// (state.ManagedSysctls says which we manage, and why). What a write of ip_forward
// overwrites besides is in forwarding.go, after inet_forward_change in
// net/ipv4/devinet.c.
package sysctl
