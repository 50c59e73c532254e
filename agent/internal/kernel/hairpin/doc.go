// Package hairpin reads and writes the nf_tables table that state.Hairpin is:
//
//	table ip routingmesh {
//		set members { type ipv4_addr . ipv4_addr; elements = { A . A, … } }
//		chain out { type filter hook postrouting priority 150; ip saddr . ip daddr @members ip saddr set L }
//		chain back { type filter hook prerouting priority -350; ip daddr L ip daddr set ip saddr }
//	}
//
// It is nf_tables also where iptables is the legacy one: that cannot exchange the addresses of
// a packet without tracking it, and of a tracked conversation the packets of the other endpoints
// would have to be tracked too. No rule of iptables sees L: out is after all that translate, and
// back before the table raw and connection tracking. Checksums follow (NFT_PAYLOAD_L4CSUM_PSEUDOHDR).
//
// The table is written as a whole, in one transaction: it keeps nothing of a connection.
package hairpin
