package nft

import "bytes"

// load fills a register from the packet. One that sets something of the packet
// instead (a mark) has a source register, and changes nothing that is known.
func (j *judge) load(regs *registers, e expression) truth {
	const (
		dreg = 1
		// of payload
		payloadBase, payloadOffset, payloadLen = 2, 3, 4
		network, transport                     = 1, 2
		// of meta and ct
		key = 2
	)
	at, ok := register(e.data[dreg])
	if !ok {
		return yes
	}
	var v value
	switch e.name {
	case "payload":
		offset, size := int(number(e.data[payloadOffset])), int(number(e.data[payloadLen]))
		switch number(e.data[payloadBase]) {
		case network:
			v = part(j.packet.header(), offset, size)
		case transport:
			v = part(j.packet.transport(), offset, size)
		default:
			v = unknownValue(max(0, min(size, registerBytes)))
		}
	case "meta":
		v = j.packet.meta(number(e.data[key]))
	case "ct":
		v = j.packet.ct(number(e.data[key]), j.tracked)
	case "fib":
		v = j.fib(e)
	}
	if !regs.put(at, v) {
		return unknown
	}
	return yes
}

// fib is known for one question: the type of a destination that is local.
func (j *judge) fib(e expression) value {
	const (
		result, flags       = 2, 3
		resultType          = 3
		source, destination = 1, 2
		local               = 2 // RTN_LOCAL
	)
	f := number(e.data[flags])
	if number(e.data[result]) == resultType && f&destination != 0 && f&source == 0 && j.packet.ToLocal {
		v := knownValue(0, 0, 0, 0)
		v.bytes[0] = local // a number in the host's byte order
		if nativeBig {
			v.bytes[0], v.bytes[3] = 0, local
		}
		return v
	}
	return unknownValue(16)
}

// compute is for what works on registers alone.
func compute(regs *registers, e expression) truth {
	const sreg, dataValue = 1, 1
	from, ok := register(e.data[sreg])
	if !ok {
		return unknown
	}
	switch e.name {
	case "cmp":
		const op, want = 2, 3
		data := fields(e.data[want])[dataValue]
		if v, ok := regs.get(from, len(data)); ok {
			return compare(v, number(e.data[op]), data)
		}
	case "range":
		const op, low, high = 2, 3, 4
		lowest, highest := fields(e.data[low])[dataValue], fields(e.data[high])[dataValue]
		v, ok := regs.get(from, len(lowest))
		if !ok || len(lowest) != len(highest) {
			return unknown
		}
		if t := v.within(lowest, highest); number(e.data[op]) == 0 {
			return t
		} else {
			return t.not()
		}
	case "bitwise":
		return bitwise(regs, from, e)
	}
	return unknown
}

func compare(v value, op uint32, want []byte) truth {
	const eq, neq, lt, lte, gt, gte = 0, 1, 2, 3, 4, 5
	switch {
	case op == eq:
		return v.equal(want)
	case op == neq:
		return v.equal(want).not()
	case !v.known() || len(v.bytes) != len(want):
		return unknown
	}
	c := bytes.Compare(v.bytes, want)
	switch op {
	case lt:
		return truthOf(c < 0)
	case lte:
		return truthOf(c <= 0)
	case gt:
		return truthOf(c > 0)
	case gte:
		return truthOf(c >= 0)
	}
	return unknown
}

// bitwise is reg & mask ^ xor; shifts make what they shift unknown.
func bitwise(regs *registers, from int, e expression) truth {
	const dreg, length, mask, xor, op, dataValue = 2, 3, 4, 5, 6, 1
	to, ok := register(e.data[dreg])
	size := int(number(e.data[length]))
	v, there := regs.get(from, size)
	if !ok || !there || to+size > registerBytes {
		return unknown
	}
	and, flip := fields(e.data[mask])[dataValue], fields(e.data[xor])[dataValue]
	if number(e.data[op]) != 0 || len(and) != size || len(flip) != size {
		regs.put(to, unknownValue(size))
		return yes
	}
	next := unknownValue(size)
	for i := range size {
		next.mask[i] = v.mask[i] | ^and[i]
		next.bytes[i] = (v.bytes[i]&and[i] ^ flip[i]) & next.mask[i]
	}
	regs.put(to, next)
	return yes
}

func immediate(regs *registers, e expression) (truth, []action) {
	const dreg, content = 1, 2
	d := decodeData(e.data[content])
	if d.verdict != nil {
		return yes, []action{{verdict: *d.verdict}}
	}
	if at, ok := register(e.data[dreg]); !ok || !regs.put(at, knownValue(d.value...)) {
		return unknown, nil
	}
	return yes, nil
}

func (j *judge) lookup(regs *registers, e expression) (truth, []action) {
	const name, sreg, dreg, flags, inverted = 1, 2, 3, 5, 1
	from, ok := register(e.data[sreg])
	s := j.setOf(setKey{j.base.family, j.base.Table, text(e.data[name])})
	if !ok || s == nil {
		return unknown, []action{{anything: true}}
	}
	to, isMap := register(e.data[dreg])
	isVerdicts := e.data[dreg] != nil && !isMap // register 0
	found, candidates := no, []data(nil)
	if size, known := s.keySize(); known {
		if key, ok := regs.get(from, size); ok {
			found, candidates = s.lookup(key)
		} else {
			found = unknown
		}
	} else if s.fleeting {
		found = unknown
	} else if s.catchAll != nil {
		found, candidates = yes, []data{s.catchAll.data}
	}
	if number(e.data[flags])&inverted != 0 {
		found = found.not()
	}
	switch {
	case found == no:
		return no, nil
	case isVerdicts:
		return found, verdictsOf(found, candidates)
	case isMap && found == yes && len(candidates) == 1:
		regs.put(to, knownValue(candidates[0].value...))
	case isMap:
		regs.put(to, unknownValue(min(16, registerBytes-to)))
	}
	return found, nil
}

func verdictsOf(found truth, candidates []data) (actions []action) {
	for _, c := range candidates {
		if c.verdict != nil {
			actions = append(actions, action{verdict: *c.verdict})
		}
	}
	if len(actions) == 0 && found != no {
		return []action{{anything: true}}
	}
	return actions
}

// keySize is false for a set without elements.
func (s *set) keySize() (int, bool) {
	if len(s.elements) == 0 {
		return 0, false
	}
	return len(s.elements[0].key), true
}
