package nft

import "encoding/binary"

// nativeBig says in which order the host has its bytes.
var nativeBig = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// xtMatch knows those matches of xtables that say which port and which kind of
// destination a rule is about; iptables' nf_tables variant has them in its rules.
func (j *judge) xtMatch(e expression) truth {
	const name, info = 1, 3
	data := e.data[info]
	switch text(e.data[name]) {
	case "comment":
		return yes
	case "tcp": // struct xt_tcp: source ports, destination ports, option, flags, compare, inverted
		const size, inverted = 12, 11
		if len(data) < size || j.packet.Protocol != TCP {
			return unknown
		}
		if data[8] != 0 || data[9] != 0 { // an option or flags are asked for
			return j.ports(data, data[inverted]).and(unknown)
		}
		return j.ports(data, data[inverted])
	case "udp": // struct xt_udp: source ports, destination ports, inverted
		const size, inverted = 9, 8
		if len(data) < size || j.packet.Protocol != UDP {
			return unknown
		}
		return j.ports(data, data[inverted])
	case "multiport":
		return j.multiport(data)
	case "conntrack", "state":
		return j.conntrack(data)
	case "addrtype":
		return j.addrType(data)
	}
	return unknown
}

// ports compares with two ranges.
func (j *judge) ports(b []byte, inverted byte) truth {
	const invertSource, invertDestination = 1, 2
	within := func(port uint16, at int, invert bool) truth {
		from, to := binary.NativeEndian.Uint16(b[at:]), binary.NativeEndian.Uint16(b[at+2:])
		t := truthOf(port >= from && port <= to)
		if port == 0 && (from != 0 || to != 0xffff) {
			t = unknown
		}
		if invert {
			return t.not()
		}
		return t
	}
	return within(j.packet.SrcPort, 0, inverted&invertSource != 0).and(within(j.packet.DstPort, 4, inverted&invertDestination != 0))
}

// addrType: struct xt_addrtype_info_v1 is source types, destination types, flags.
func (j *judge) addrType(b []byte) truth {
	const size, local = 8, 1 << 2
	if len(b) < size || binary.NativeEndian.Uint16(b) != 0 || binary.NativeEndian.Uint32(b[4:]) != 0 || !j.packet.ToLocal {
		return unknown
	}
	return truthOf(binary.NativeEndian.Uint16(b[2:])&local != 0)
}

// multiport: struct xt_multiport_v1 is flags, count, 15 ports, 15 marks of ranges,
// inverted. Destination ports without a range are known.
func (j *judge) multiport(b []byte) truth {
	const size, most, ports, ranges, inverted, destination = 48, 15, 2, 32, 47, 1
	if len(b) < size || b[0] != destination || int(b[1]) > most || j.packet.DstPort == 0 {
		return unknown
	}
	found := no
	for i := range int(b[1]) {
		if b[ranges+i] != 0 {
			return unknown
		}
		if binary.NativeEndian.Uint16(b[ports+2*i:]) == j.packet.DstPort {
			found = yes
		}
	}
	if b[inverted] != 0 {
		return found.not()
	}
	return found
}

// conntrack: struct xt_conntrack_mtinfo3 has eight addresses, two times, five ports,
// and then which of all is asked for, what of it is inverted, and the states.
func (j *judge) conntrack(b []byte) truth {
	const (
		flags, invert, states   = 146, 148, 150
		onlyStates              = 1
		snat, dnat, knownStates = 1 << 6, 1 << 7, 0xf
	)
	if len(b) < states+2 || binary.NativeEndian.Uint16(b[flags:]) != onlyStates || !j.tracked || j.packet.State == 0 {
		return unknown
	}
	asked := binary.NativeEndian.Uint16(b[states:])
	found := truthOf(uint32(asked)&uint32(j.packet.State)&knownStates != 0 || asked&dnat != 0 && j.packet.DNAT)
	if found == no && asked&snat != 0 {
		return unknown
	}
	if binary.NativeEndian.Uint16(b[invert:])&onlyStates != 0 {
		return found.not()
	}
	return found
}
