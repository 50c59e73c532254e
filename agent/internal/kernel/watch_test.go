package kernel

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// What the canary says after our own writes is what it said before and these.
func TestTheCanaryCountsOwnWrites(t *testing.T) {
	v := state.VirtualServer{Proto: "tcp", Addr: netip.MustParseAddrPort("10.255.1.1:80"), Scheduler: "rr"}
	open := state.SetMember{Set: state.SetNames()[0], Port: 80}
	before := watch.Reading{Chains: "7/7", Services: 3}
	*before.Members(open.Set) = 3
	add := []state.Op{{Action: state.Add, New: v}, {Action: state.Add, New: open}, {Action: state.Change, Old: v, New: v}}
	want := before
	want.Services, *want.Members(open.Set) = 4, 4
	if got := readingAfter(before, add); got != want {
		t.Errorf("after %v: %+v, want %+v", add, got, want)
	}
	remove := []state.Op{{Action: state.Remove, Old: open}, {Action: state.Remove, Old: v}}
	if got := readingAfter(want, remove); got != before {
		t.Errorf("after %v: %+v, want %+v", remove, got, before)
	}
}

func readingAfter(r watch.Reading, ops []state.Op) watch.Reading {
	countWrites(&r, ops)
	return r
}

// body is that of a message of rtnetlink: a header, and attributes that hold a number each.
func body(header []byte, attrs map[uint16]uint32) []byte {
	b := &nlmsg.Batch{}
	b.Message(0, 0, header...)
	for typ, value := range attrs {
		b.Attr32(typ, value)
	}
	return b.Bytes()[unix.SizeofNlMsghdr:]
}

// header is of a size, and begins with the family; at says what stands in it elsewhere.
func header(size int, family byte, at map[int]uint32) []byte {
	h := make([]byte, size)
	h[0] = family
	for i, value := range at {
		binary.NativeEndian.PutUint32(h[i:], value)
	}
	return h
}

// In the host's namespace only what is ours is told of, in the mesh's nearly everything.
func TestInterests_TellOfOurs(t *testing.T) {
	t.Parallel()
	const ours, others = 7, 8 // links
	k := &Kernel{}
	k.note(state.State{state.Key{}: state.Route{NS: state.Host, Table: state.MainTable, Dst: netip.MustParsePrefix("0.0.0.0/0")}})
	route := func(table byte, attrs map[uint16]uint32) []byte {
		h := header(unix.SizeofRtMsg, unix.AF_INET, nil)
		h[4] = table
		return body(h, attrs)
	}
	neigh := func(family byte, link uint32) []byte {
		return body(header(unix.SizeofNdMsg, family, map[int]uint32{4: link}), nil)
	}
	addr := func(link uint32) []byte {
		return body(header(unix.SizeofIfAddrmsg, unix.AF_INET, map[int]uint32{4: link}), nil)
	}
	netconf := func(link uint32) []byte {
		return body(header(unix.NLMSG_ALIGNTO, unix.AF_INET, nil), map[uint16]uint32{1: link})
	}
	rule := func(priority uint32) []byte {
		return body(header(unix.SizeofRtMsg, unix.AF_INET, nil), map[uint16]uint32{nl.FRA_PRIORITY: priority})
	}
	for _, tt := range []struct {
		name       string
		typ        uint16
		body       []byte
		ourLink    bool
		host, mesh bool
	}{
		{"our link", unix.RTM_NEWLINK, nil, true, true, true},
		{"another's link", unix.RTM_DELLINK, nil, false, false, true},
		{"an address on our link", unix.RTM_NEWADDR, addr(ours), false, true, true},
		{"an address on another's", unix.RTM_DELADDR, addr(others), false, false, true},
		{"a route over our link", unix.RTM_NEWROUTE, route(99, map[uint16]uint32{unix.RTA_OIF: ours}), false, true, true},
		{"a route over another's", unix.RTM_NEWROUTE, route(99, map[uint16]uint32{unix.RTA_OIF: others}), false, false, true},
		{"a route of our table", unix.RTM_DELROUTE, route(0, map[uint16]uint32{unix.RTA_TABLE: state.Table}), false, true, true},
		{"a route in the place of ours", unix.RTM_NEWROUTE, route(state.MainTable, map[uint16]uint32{unix.RTA_OIF: others}), false, true, true},
		{"our rule", unix.RTM_DELRULE, rule(state.RulePriority), false, true, true},
		{"another's rule", unix.RTM_NEWRULE, rule(1), false, false, true},
		{"a neighbour on our link", unix.RTM_NEWNEIGH, neigh(unix.AF_INET, ours), false, false, true},
		{"a neighbour on lo", unix.RTM_NEWNEIGH, neigh(unix.AF_INET, 1), false, false, false},
		{"an IPv6 neighbour", unix.RTM_NEWNEIGH, neigh(unix.AF_INET6, ours), false, false, false},
		{"an FDB entry", unix.RTM_DELNEIGH, neigh(unix.AF_BRIDGE, others), false, false, true},
		{"forwarding of the host", unix.RTM_NEWNETCONF, netconf(^uint32(0)), false, true, true},
		{"forwarding of our link", unix.RTM_NEWNETCONF, netconf(ours), false, true, true},
		{"forwarding of another's", unix.RTM_NEWNETCONF, netconf(others), false, false, true},
	} {
		told := func(ns state.NS) bool {
			links := watch.Links{state.HostLink: ours, state.OverlayLink: ours}
			event := watch.Event{Message: nlmsg.Message{Type: tt.typ, Body: tt.body}, Links: links, OurLink: tt.ourLink}
			return slices.ContainsFunc(k.interests(ns), func(i watch.Interest) bool {
				return slices.Contains(i.Types, tt.typ) && (i.Ours == nil || i.Ours(event))
			})
		}
		if host, mesh := told(state.Host), told(state.Mesh); host != tt.host || mesh != tt.mesh {
			t.Errorf("%s is told of: in the host's namespace %t, want %t; in the mesh's %t, want %t", tt.name, host, tt.host, mesh, tt.mesh)
		}
	}
}

// Whatever a message of rtnetlink holds, the interest of each kind takes or leaves it.
func FuzzInterests(f *testing.F) {
	f.Add(uint16(24), []byte{2, 32, 0, 0, 254, 2, 0, 1, 0, 0, 0, 0, 12, 0, 1, 0, 10, 255, 0, 1})
	f.Add(uint16(80), []byte{2, 0, 0, 0, 8, 0, 1, 0, 255, 255, 255, 255})
	f.Fuzz(func(_ *testing.T, typ uint16, body []byte) {
		k := &Kernel{}
		for _, ns := range []state.NS{state.Host, state.Mesh} {
			for _, i := range k.interests(ns) {
				if i.Ours != nil {
					i.Ours(watch.Event{Message: nlmsg.Message{Type: typ, Body: body}, Links: watch.Links{}})
				}
			}
		}
	})
}
