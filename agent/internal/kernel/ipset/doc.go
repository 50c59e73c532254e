// Package ipset reads and writes ipsets of the types bitmap:port, hash:ip and hash:net,port.
//
// It speaks the kernel's ipset protocol (include/uapi/linux/netfilter/ipset/ip_set.h) by
// itself. The netlink library has one too, but it panics on an error that is not an
// errno, writes to the log what it does not know about a newer kernel's sets, and can
// only list a set with all its members: another program's may have a million.
package ipset
