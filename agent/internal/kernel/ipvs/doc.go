// Package ipvs reads and writes the services of IPVS in one network namespace, and their
// destinations.
//
// # One codec
//
// codec.go turns the objects of package state into the structs of moby/ipvs and back: all
// that is known of flags, netmasks and faults is there. wire.go turns those structs into
// the attributes of generic netlink and back (include/uapi/linux/ip_vs.h). Nothing else
// of ours knows either.
//
// # Who does what
//
//	moby/ipvs   every single write, the list of services, one service, the timeouts.
//	            Docker runs it on more kernels than we have, so it is the rule, and what
//	            is beside it only is where it costs too much. What our own requests are
//	            refused goes through it again.
//	bulk.go     many additions or removals: 64 requests in one piece, where moby/ipvs
//	            waits for each. A tenth of the time and less. Uses wire.go.
//	counters.go counters of 64 bits: those of moby/ipvs have 32, and are round after an
//	            hour of traffic. Uses wire.go.
//	proc.go     the destinations of all services from /proc/net/ip_vs: netlink takes a
//	            request for each service. Seven times as fast with 5,000. What the file
//	            passes over is asked of moby/ipvs.
//	info.go     the number of services, by one getsockopt: the canary asks once a second,
//	            and it tells whether the file passed over one.
//
// # What is wrong with moby/ipvs
//
//   - A lost answer makes it wait for ever (execute goes on at EAGAIN). A request that
//     takes too long is given up with its socket, whose closing ends it.
//   - It looks for the kernel's IPVS once per process, and does not tell when there is
//     none. So conn.go looks first, and then makes a handle.
//   - An interrupted receive is an error to it. conn.go asks again.
//   - A service's flags have one that the kernel sets itself (serviceHashed).
package ipvs
