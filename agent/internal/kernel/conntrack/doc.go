// Package conntrack reads and deletes entries of connection tracking: it finds the one
// of a connection (Find), and deletes those that lead where nothing is asked for any
// more (Stale).
//
// It speaks ctnetlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h), through the
// netlink library's sockets but with a reader of its own, see conn. Why an entry is
// stale is said in stale.go.
package conntrack
