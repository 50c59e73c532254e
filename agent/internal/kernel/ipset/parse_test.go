package ipset

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// listMessage is the kernel's list of a bitmap:port with so many ports.
func listMessage(ports int) []byte {
	c := &nlmsg.Batch{}
	c.Message(0, 0, unix.AF_INET, 0, 0, 0)
	c.AttrText(nl.IPSET_ATTR_SETNAME, "routingmesh-tcp")
	c.AttrText(nl.IPSET_ATTR_TYPENAME, string(state.BitmapPort))
	all := c.Nest(nl.IPSET_ATTR_ADT | nested)
	for i := range ports {
		one := c.Nest(nl.IPSET_ATTR_DATA | nested)
		c.AttrPort(nl.IPSET_ATTR_PORT|netOrder, uint16(10000+i))
		c.End(one)
	}
	c.End(all)
	return c.Bytes()[unix.SizeofNlMsghdr:]
}

func TestASetIsReadWithoutGarbage(t *testing.T) {
	message, n := listMessage(5000), 0
	set := state.Set{Name: "routingmesh-tcp"}
	each := func(m state.SetMember) {
		if int(m.Port) != 10000+n%5000 || m.Set != set.Name {
			t.Fatalf("member %v is the %d-th", m, n)
		}
		n++
	}
	allocs := testing.AllocsPerRun(5, func() { parse(&set, message, each) })
	if n != 6*5000 || set.Type != state.BitmapPort || allocs > 5 {
		t.Errorf("%d members of %v, %v allocations, at most 5 are promised", n, set, allocs)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	message := listMessage(5000)
	set := state.Set{Name: "routingmesh-tcp"}
	for b.Loop() {
		parse(&set, message, func(state.SetMember) {})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(listMessage(2))
	f.Add([]byte("\x00\x00\x00\x00\x04\x00\x03\x00\x06\x00\x04\x00")) // a type without a name
	f.Fuzz(func(_ *testing.T, message []byte) {
		parse(&state.Set{Name: "s"}, message, func(state.SetMember) {})
	})
}

// What is written into a set of the mesh's namespace is read back the same.
func TestMembersWithMarks(t *testing.T) {
	a := netip.MustParseAddr("10.255.1.128")
	for _, want := range []state.SetMember{
		{NS: state.Mesh, Set: state.IdentitySet, Addr: a, Mark: 0x7ffe},
		{NS: state.Mesh, Set: state.VIPSet, Addr: a, Mark: 0x0affff05},
		{NS: state.Mesh, Set: state.PeerSet, Addr: a, Mark: 3}, {NS: state.Mesh, Set: state.PeerSet, Addr: a},
		{NS: state.Mesh, Set: state.OpenSet, Addr: a, Port: 53, Proto: "udp"}, {NS: state.Mesh, Set: state.OpenSet, Addr: a, Port: 80, Proto: "tcp"},
	} {
		c := &Conn{conn: &nlmsg.Conn{}, ns: state.Mesh}
		c.conn.Message(0, 0, unix.AF_INET, 0, 0, 0)
		all := c.conn.Nest(nl.IPSET_ATTR_ADT | nested)
		c.memberData(want)
		c.conn.End(all)
		var got []state.SetMember
		parse(&state.Set{NS: state.Mesh, Name: want.Set}, c.conn.Bytes()[unix.SizeofNlMsghdr:], func(m state.SetMember) { got = append(got, m) })
		if len(got) != 1 || got[0] != want {
			t.Errorf("%+v is read back as %+v", want, got)
		}
	}
}
