package nft

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// set is a set, a map or a verdict map.
type set struct {
	interval bool
	elements []element // those of an interval set are sorted
	catchAll *element
	// fleeting says that its elements come and go without a change of the rules.
	fleeting bool
}

type element struct {
	key, keyEnd []byte // keyEnd is set in concatenated intervals
	end         bool   // it ends an interval
	data        data
}

// data is a value or a verdict.
type data struct {
	value   []byte
	verdict *verdict
}

type verdict struct {
	code  int32
	chain string
}

// mostElements is how large a set may be to be looked at.
const mostElements = 1 << 16

// setOf is nil where the set cannot be read.
func (r *Ruleset) setOf(key setKey) *set {
	if have, ok := r.sets[key]; ok {
		return have
	}
	s, err := r.readSet(key)
	if err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("read the set %s in table %s: %w", key.name, key.table, err))
	}
	r.sets[key] = s
	return s
}

func (r *Ruleset) readSet(key setKey) (*set, error) {
	const (
		table, name, flags, elements           = 1, 2, 3, 3
		flagInterval, flagTimeout, flagDynamic = 0x4, 0x10, 0x20
	)
	where := append(textAttr(table, key.table), textAttr(name, key.name)...)
	answers, err := r.ask(request{message: getSet, family: key.family, attrs: where})
	if err != nil || len(answers) == 0 {
		return nil, errors.Join(errors.New("it is not there"), err)
	}
	f := number(fields(answers[0])[flags])
	s := &set{interval: f&flagInterval != 0, fleeting: f&(flagTimeout|flagDynamic) != 0}
	if s.fleeting {
		return s, nil
	}
	if answers, err = r.ask(request{message: getElements, dump: true, family: key.family, attrs: where}); err != nil {
		return nil, err
	}
	for _, a := range answers {
		for _, e := range attrsOf(fields(a)[elements]) {
			s.add(e)
		}
		if len(s.elements) > mostElements {
			return nil, fmt.Errorf("it has more than %d elements", mostElements)
		}
	}
	if s.interval {
		slices.SortStableFunc(s.elements, func(a, b element) int {
			if c := bytes.Compare(a.key, b.key); c != 0 || a.end == b.end {
				return c
			}
			return cmp.Compare(boolNumber(b.end), boolNumber(a.end)) // the end of one is the start of the next
		})
	}
	return s, nil
}

func boolNumber(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *set) add(b []byte) {
	const (
		key, value, flags, keyEnd = 1, 2, 3, 10
		isEnd, isCatchAll         = 1, 2
		dataValue                 = 1
	)
	f := fields(b)
	e := element{
		key: fields(f[key])[dataValue], keyEnd: fields(f[keyEnd])[dataValue],
		end: number(f[flags])&isEnd != 0, data: decodeData(f[value]),
	}
	if number(f[flags])&isCatchAll != 0 {
		s.catchAll = &e
		return
	}
	s.elements = append(s.elements, e)
}

func decodeData(b []byte) (d data) {
	const value, isVerdict, code, chain = 1, 2, 1, 2
	f := fields(b)
	d.value = f[value]
	if v, ok := f[isVerdict]; ok {
		vf := fields(v)
		d.verdict = &verdict{int32(number(vf[code])), text(vf[chain])} // it is signed
	}
	return d
}

// lookup finds the element of a key. Where that is unknown, it returns all that it
// may be.
func (s *set) lookup(key value) (found truth, candidates []data) {
	if s.fleeting {
		return unknown, nil
	}
	found = no
	if s.interval && !s.concatenated() {
		found, candidates = s.inInterval(key)
	} else {
		for _, e := range s.elements {
			switch e.match(key) {
			case yes:
				return yes, []data{e.data}
			case unknown:
				found, candidates = unknown, append(candidates, e.data)
			}
		}
	}
	if s.catchAll == nil || found == yes {
		return found, candidates
	}
	if found == no {
		return yes, []data{s.catchAll.data}
	}
	return unknown, append(candidates, s.catchAll.data)
}

func (s *set) concatenated() bool {
	return slices.ContainsFunc(s.elements, func(e element) bool { return e.keyEnd != nil })
}

// inInterval: the last element that is not greater than the key starts an interval,
// or ends one.
func (s *set) inInterval(key value) (truth, []data) {
	if !key.known() {
		if len(s.elements) == 0 {
			return no, nil
		}
		var all []data
		for _, e := range s.elements {
			if !e.end {
				all = append(all, e.data)
			}
		}
		return unknown, all
	}
	last := -1
	for i, e := range s.elements {
		if len(e.key) != len(key.bytes) || bytes.Compare(e.key, key.bytes) > 0 {
			continue
		}
		last = i
	}
	if last < 0 || s.elements[last].end {
		return no, nil
	}
	return yes, []data{s.elements[last].data}
}

// match compares with one key, or with a range in each field of a concatenation.
// A field fills whole words of 4 bytes.
func (e element) match(key value) truth {
	if e.keyEnd == nil {
		return key.equal(e.key)
	}
	result := yes
	for at := 0; at < len(key.bytes); at += 4 {
		to := min(at+4, len(key.bytes))
		if to > len(e.key) || to > len(e.keyEnd) {
			return unknown
		}
		part := value{key.bytes[at:to], key.mask[at:to]}
		result = result.and(part.within(e.key[at:to], e.keyEnd[at:to]))
	}
	return result
}
