// Package route reads and writes what says where packets go: routes, policy rules,
// neighbours and FDB entries.
//
// It uses rtnetlink (RTM_NEWROUTE, RTM_NEWRULE, RTM_NEWNEIGH) through the netlink library.
// Why a route asks for the scope of a link is of fib_check_nh in
// net/ipv4/fib_semantics.c.
package route
