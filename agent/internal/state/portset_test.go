package state

import (
	"slices"
	"testing"
)

func ports(set string, first, last uint16) SetMember {
	return SetMember{Set: set, Port: first, Last: last}
}

// What the kernel lists port by port is compared with ranges: one op for each range, none that
// takes a port from another member.
func TestPlan_Ranges(t *testing.T) {
	t.Parallel()
	const tcp, ep = "routingmesh-tcp", "routingmesh-ep-tcp"
	for name, c := range map[string]struct {
		desired, there []SetMember
		want           []string
	}{
		"new":   {[]SetMember{ports(tcp, 10000, 29999)}, nil, []string{"add ports 10000-29999 in ipset routingmesh-tcp"}},
		"there": {[]SetMember{ports(tcp, 10000, 29999)}, []SetMember{ports(tcp, 10000, 29999)}, nil},
		"beside neighbours": {
			[]SetMember{ports(tcp, 10000, 10999), ports(tcp, 11000, 11999), ports(tcp, 9999, 0), ports(tcp, 12000, 0)},
			[]SetMember{ports(tcp, 9999, 12000)}, nil,
		},
		"grows": {
			[]SetMember{ports(tcp, 10000, 10999)}, []SetMember{ports(tcp, 10000, 10499)},
			[]string{"change ports 10000-10999 in ipset routingmesh-tcp"},
		},
		"shrinks": {
			[]SetMember{ports(tcp, 10000, 10499)}, []SetMember{ports(tcp, 10000, 10999)},
			[]string{"remove ports 10500-10999 in ipset routingmesh-tcp"},
		},
		"goes": {nil, []SetMember{ports(tcp, 10000, 10999)}, []string{"remove ports 10000-10999 in ipset routingmesh-tcp"}},
		"goes beside those that stay": {
			[]SetMember{ports(ep, 10500, 0), ports(ep, 10900, 11100)},
			[]SetMember{ports(ep, 10000, 11100)},
			[]string{"remove ports 10000-10499 in ipset routingmesh-ep-tcp", "remove ports 10501-10899 in ipset routingmesh-ep-tcp"},
		},
		"single ports that are neighbours": {
			[]SetMember{ports(tcp, 80, 0)}, []SetMember{ports(tcp, 80, 0), ports(tcp, 81, 0), ports(tcp, 82, 0)},
			[]string{"remove port 81 in ipset routingmesh-tcp", "remove port 82 in ipset routingmesh-tcp"},
		},
		"all ports": {[]SetMember{ports(tcp, 1, 65535)}, []SetMember{ports(tcp, 1, 65535)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desired, there := State{}, PortSets{}
			for _, m := range c.desired {
				desired.Put(m)
			}
			for _, m := range c.there {
				there.Add(m)
			}
			observed := State{}
			there.Put(observed)
			var got []string
			for _, op := range Plan(desired, observed) {
				got = append(got, op.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A hole in a range is a sentence, and not one for each port.
func TestPlan_HolesOfARange(t *testing.T) {
	t.Parallel()
	desired, there, observed := State{}, PortSets{}, State{}
	desired.Put(ports("routingmesh-tcp", 10000, 10999))
	there.Add(ports("routingmesh-tcp", 10000, 10999))
	for _, m := range []SetMember{ports("", 10003, 0), ports("", 10100, 10119), ports("", 10999, 0)} {
		m.Set = "routingmesh-tcp"
		there.remove(m)
	}
	there.Put(observed)
	ops := Plan(desired, observed)
	if want := "The ipset routingmesh-tcp lacks 10003, 10100-10119, 10999 of the ports 10000-10999, so that no traffic gets in there."; len(ops) != 1 || ops[0].Sentence() != want {
		t.Errorf("got %v, want %q", ops, want)
	}
	for port := uint16(10200); port < 10300; port += 2 {
		there.remove(ports("routingmesh-tcp", port, 0))
	}
	observed = State{}
	there.Put(observed)
	if ops = Plan(desired, observed); len(ops) != 1 || ops[0].Sentence() != "The ipset routingmesh-tcp lacks 10003, 10100-10119, 10200, 10202, 10204, others of the ports 10000-10999, so that no traffic gets in there." {
		t.Errorf("got %v", ops)
	}
}

func TestOverlapsKey(t *testing.T) {
	t.Parallel()
	const tcp = "routingmesh-tcp"
	for _, c := range []struct {
		a, b SetMember
		want bool
	}{
		{ports(tcp, 10000, 10009), ports(tcp, 10009, 0), true},
		{ports(tcp, 10010, 0), ports(tcp, 10000, 10009), false},
		{ports(tcp, 1, 65535), ports(tcp, 10000, 10009), true},
		{ports(tcp, 10005, 0), ports("routingmesh-udp", 10000, 10009), false},
	} {
		if c.a.OverlapsKey(c.b.Key()) != c.want || c.b.OverlapsKey(c.a.Key()) != c.want {
			t.Errorf("%s and %s: not %t", c.a, c.b, c.want)
		}
	}
}
