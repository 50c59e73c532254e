// Package netns enters network namespaces, keeps one open with a netlink socket in
// it (Space), and makes and removes namespaces that have a name in /run/netns.
//
// It uses setns(2), unshare(2) and the bind mount of /proc/thread-self/ns/net. A name
// is made as `ip netns add` makes it (iproute2, ip/ipnetns.c), so that `ip netns exec`
// works with it. It is at the bottom of the packages below kernel: all may import it,
// and it imports none of them.
package netns
