// Package iptables reads and writes chains with iptables-save and iptables-restore, so
// that it works with both kinds of iptables, legacy and nf_tables. It is the only package
// of the kernel's that runs a program for its objects.
//
// What others need to know of the two kinds is here as well: which one a host uses and
// whether both hold rules (ReadBackends), and a number that changes with the tables
// (Canary). That number, and the removal of an empty table, go to nf_tables itself
// (include/uapi/linux/netfilter/nf_tables.h) and to the legacy tables' getsockopt
// (netfilter_ipv4/ip_tables.h). The rules of a script's order are in restore.go.
package iptables
