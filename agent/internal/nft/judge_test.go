package nft

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// attr makes one netlink attribute.
func attr(typ uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func number4(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// expr makes one expression of a rule.
func expr(name string, data ...[]byte) []byte {
	return attr(1, join(attr(1, append([]byte(name), 0)...), attr(2, join(data...)...))...)
}

// rulesetOf has one base chain of one rule, and one set.
func rulesetOf(rule, set []byte) *Ruleset {
	r, _ := readFrom(func(q request) ([][]byte, error) {
		switch q.message {
		case getChain:
			hook := join(attr(1, number4(uint32(Input))...), attr(2, number4(0)...))
			return [][]byte{join(textAttr(1, "t"), textAttr(3, "c"), attr(4, hook...), attr(5, number4(verdictDrop)...), textAttr(7, "filter"))}, nil
		case getRule:
			return [][]byte{join(textAttr(1, "t"), textAttr(2, "c"), attr(4, rule...))}, nil
		case getSet, getElements:
			return [][]byte{set}, nil
		}
		return nil, nil
	})
	return r
}

func verdictOf(t *testing.T, rule, set []byte) Verdict {
	t.Helper()
	r := rulesetOf(rule, set)
	p := Packet{In: "eth0", Src: netip.MustParseAddr("192.0.2.2"), Dst: netip.MustParseAddr("192.0.2.1"), Protocol: UDP, DstPort: 4789, State: New}
	return r.Judge(r.Chains[0], p, func(Chain, string) *Verdict { return nil })
}

var accepts = expr("immediate", attr(1, number4(0)...), attr(2, attr(2, attr(1, number4(verdictAccept)...)...)...))

// TestJudge_UnknownExpression: what is not known may match, and does not decide.
func TestJudge_UnknownExpression(t *testing.T) {
	if v := verdictOf(t, join(expr("something-new", attr(1, number4(1)...)), accepts), nil); v.Drops() || !v.Unsure() {
		t.Errorf("a rule with an expression that is not known: %+v", v)
	}
	if v := verdictOf(t, accepts, nil); v.Drops() || v.Unsure() {
		t.Errorf("an accept: %+v", v)
	}
	if v := verdictOf(t, nil, nil); !v.Drops() || v.At != "policy drop" {
		t.Errorf("an empty rule: %+v", v)
	}
}

// TestJudge_UnreadableRules: a chain that cannot be read drops nothing for sure.
func TestJudge_UnreadableRules(t *testing.T) {
	r := rulesetOf(nil, nil)
	r.ask = func(request) ([][]byte, error) { return nil, errChanged }
	if v := r.Judge(r.Chains[0], Packet{Protocol: TCP}, func(Chain, string) *Verdict { return nil }); v.Drops() || r.Err() == nil {
		t.Errorf("%+v, %v", v, r.Err())
	}
}

// FuzzJudge: rules and sets of any bytes end in some verdict.
func FuzzJudge(f *testing.F) {
	f.Add(join(expr("payload", attr(1, number4(1)...), attr(2, number4(2)...), attr(3, number4(2)...), attr(4, number4(2)...)),
		expr("cmp", attr(1, number4(1)...), attr(2, number4(0)...), attr(3, attr(1, 0x12, 0xb5)...)), accepts), []byte{})
	f.Add(join(expr("meta", attr(1, number4(1)...), attr(2, number4(metaL4Proto)...)),
		expr("lookup", append(textAttr(1, "s"), join(attr(2, number4(1)...), attr(3, number4(0)...))...))),
		join(attr(3, number4(4)...), attr(3, attr(1, join(attr(1, attr(1, 17)...), attr(2, attr(2, attr(1, number4(1)...)...)...))...)...)))
	f.Add(expr("match", append(textAttr(1, "conntrack"), attr(3, make([]byte, 164)...)...)), []byte{})
	f.Add(expr("bitwise", attr(1, number4(23)...), attr(2, number4(1)...), attr(3, number4(16)...)), []byte{})
	f.Fuzz(func(t *testing.T, rule, set []byte) {
		v := verdictOf(t, rule, set)
		if !v.Accept && !v.Drop && !v.DNAT {
			t.Errorf("no verdict: %+v", v)
		}
	})
}

// FuzzRead: tables and chains of any bytes are read, and each chain has a verdict.
func FuzzRead(f *testing.F) {
	hook := join(attr(1, number4(uint32(Input))...), attr(2, number4(0)...))
	f.Add(join(textAttr(1, "t"), attr(2, number4(1)...)), join(textAttr(1, "t"), textAttr(3, "c"), attr(4, hook...), attr(5, number4(verdictDrop)...), textAttr(7, "filter")))
	f.Add([]byte{4, 0, 1, 0}, []byte{3, 0, 1, 0})
	f.Fuzz(func(t *testing.T, table, chain []byte) {
		r, err := readFrom(func(q request) ([][]byte, error) {
			switch q.message {
			case getChain:
				return [][]byte{chain}, nil
			case getRule:
				return nil, nil
			}
			return [][]byte{table}, nil
		})
		if err != nil {
			return
		}
		for _, c := range r.Chains {
			_ = c.String()
			if v := r.Judge(c, Packet{Protocol: TCP}, func(Chain, string) *Verdict { return nil }); !v.Accept && !v.Drop && !v.DNAT {
				t.Errorf("no verdict: %+v", v)
			}
		}
	})
}
