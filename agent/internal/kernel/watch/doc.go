// Package watch sees that something of the mesh's may have changed in the kernel, in the
// host's namespace and in the mesh's.
//
// Links, addresses, routes, rules, neighbours and FDB entries are events of rtnetlink
// (include/uapi/linux/rtnetlink.h); which of them are about an object of ours is not said
// here but by the kind's handler in package kernel, as an Interest. The namespace is an
// event of inotify(7). What has no events has a canary (Reading), which is read once a
// second: the tables of iptables, the sizes of sets, the number of IPVS services.
//
// It is above the packages that the canary asks (ipset, iptables, ipvs), and knows nothing
// of link and route.
package watch
