//go:build kernel

package kernel_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// trio is two nodes and a client on one wire, and what the nodes are to have.
type trio struct {
	a, b, c *machine
	want    map[*machine]state.State
}

// newTrio has the nodes whole, and nothing published. The client has a prefix of
// addresses, 10.77.0.0/16, to be many clients.
func newTrio(t *testing.T) *trio {
	t.Helper()
	w := newWire(t)
	s := &trio{a: newMachine(t, "a"), b: newMachine(t, "b"), c: newMachine(t, "c"), want: map[*machine]state.State{}}
	w.plug(s.a, node(1).underlay())
	w.plug(s.b, node(2).underlay())
	w.plug(s.c, netip.MustParseAddr("192.168.77.100"))
	s.c.run("ip route add local 10.77.0.0/16 dev lo")
	for n, m := range map[node]*machine{1: s.a, 2: s.b} {
		m.run("ip route add 10.77.0.0/16 via 192.168.77.100")
		s.want[m] = desired(t, n, 3-n)
		m.reach(s.want[m], 1)
	}
	return s
}

func (s *trio) node(m *machine) node {
	if m == s.a {
		return 1
	}
	return 2
}

// caller is one address of the many.
func caller(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)}) }

// place is an endpoint: a port on a node.
type place struct {
	on     node
	port   uint16
	weight int
}

// serve makes a published port what v says (without an address) with these
// destinations, on both nodes.
func (s *trio) serve(v state.VirtualServer, port uint16, places ...place) {
	s.a.t.Helper()
	for _, m := range []*machine{s.a, s.b} {
		s.serveOn(m, v, port, places...)
	}
}

func (s *trio) serveOn(m *machine, v state.VirtualServer, port uint16, places ...place) {
	m.t.Helper()
	m.settle(s.asked(m, v, port, places...))
}

// settle is reach without the chains, and so without programs: the lab's nodes may
// be slow. Two rounds, as the order of destinations is repaired in a second one.
func (m *machine) settle(desired state.State) {
	m.t.Helper()
	for range 2 {
		m.apply(state.Plan(withoutChains(desired), m.traffic()))
	}
	if ops := state.Plan(withoutChains(desired), m.traffic()); len(ops) > 0 {
		m.t.Fatalf("%s: still to do:\n%s", m.name, text(ops))
	}
}

// asked replaces what the node is asked for of the port.
func (s *trio) asked(m *machine, v state.VirtualServer, port uint16, places ...place) state.State {
	s.withdraw(m, v.Proto, port)
	want, self := s.want[m], s.node(m)
	v.Addr = netip.AddrPortFrom(self.S(), port)
	want.Put(v, state.SetMember{Set: "routingmesh-" + v.Proto, Port: port})
	for _, p := range places {
		want.Put(state.RealServer{Proto: v.Proto, Server: v.Addr, Addr: netip.AddrPortFrom(p.on.H(), p.port), Weight: p.weight})
		if p.on == self {
			want.Put(state.SetMember{Set: "routingmesh-ep-" + v.Proto, Port: p.port})
		}
	}
	return want
}

// withdraw takes the port out of what the node is asked for.
func (s *trio) withdraw(m *machine, proto string, port uint16) {
	server := netip.AddrPortFrom(s.node(m).S(), port)
	for k := range s.want[m] {
		ofServer := (k.Kind == state.KindVirtualServer || k.Kind == state.KindRealServer) && k.Name == proto && k.A == server
		open := k.Kind == state.KindSetMember && k.Name == "routingmesh-"+proto && k.A.Port() == port
		if ofServer || open {
			delete(s.want[m], k)
		}
	}
}

// endpoints answers on the places with "node:port".
func (s *trio) endpoints(places ...place) {
	s.a.t.Helper()
	for _, p := range places {
		m := s.a
		if p.on == 2 {
			m = s.b
		}
		m.in(func() error {
			l, err := net.Listen("tcp4", fmt.Sprintf(":%d", p.port))
			if err != nil {
				return err
			}
			m.t.Cleanup(func() { l.Close() })
			go accept(l, fmt.Sprintf("%s:%d", m.name, p.port))
			return nil
		})
	}
}

// accept greets with the name, then sends each line back.
func accept(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			fmt.Fprintln(c, name)
			r := bufio.NewReader(c)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				fmt.Fprint(c, line)
			}
		}()
	}
}

// connection is an open one, and who has greeted.
type connection struct {
	net.Conn
	r    *bufio.Reader
	name string
}

// connect opens a connection from an address of the client (the zero Addr: its
// own) through a node.
func (s *trio) connect(from netip.Addr, through *machine, port uint16) (c *connection, err error) {
	err = within(s.c.ns, func() (err error) {
		c, err = dial(from, netip.AddrPortFrom(s.node(through).underlay(), port))
		return err
	})
	return c, err
}

// dial is connect for a thread that is in the client's namespace.
func dial(from netip.Addr, to netip.AddrPort) (*connection, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	conn, err := d.DialContext(context.Background(), "tcp4", to.String())
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, r: bufio.NewReader(conn)}
	if c.name, err = c.line(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connections opens n of them, the i-th from that caller.
func (s *trio) connections(through *machine, port uint16, n int, caller func(i int) netip.Addr) []*connection {
	s.a.t.Helper()
	open, errs := make([]*connection, n), make([]error, n)
	to := netip.AddrPortFrom(s.node(through).underlay(), port)
	var wg sync.WaitGroup
	const atOnce = 8
	for first := range min(n, atOnce) {
		wg.Go(func() {
			errs[first] = within(s.c.ns, func() (err error) {
				for i := first; i < n && err == nil; i += atOnce {
					open[i], err = dial(caller(i), to)
				}
				return err
			})
		})
	}
	wg.Wait()
	s.a.t.Cleanup(func() { closeAll(open) })
	if err := errors.Join(errs...); err != nil {
		s.a.t.Fatal(err)
	}
	return open
}

func closeAll(open []*connection) {
	for _, c := range open {
		if c != nil {
			c.Close()
		}
	}
}

func (s *trio) mustConnect(from netip.Addr, through *machine, port uint16) *connection {
	s.a.t.Helper()
	c, err := s.connect(from, through, port)
	if err != nil {
		s.a.t.Fatalf("%s through %s, port %d: %v", from, through.name, port, err)
	}
	return c
}

func (c *connection) line() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	line, err := c.r.ReadString('\n')
	return strings.TrimSpace(line), err
}

// echo sends a line and wants it back.
func (c *connection) echo() error {
	if _, err := fmt.Fprintln(c, "still there?"); err != nil {
		return err
	}
	_, err := c.line()
	return err
}

// endpoint asks once who answers.
func (s *trio) endpoint(from netip.Addr, through *machine, port uint16) string {
	s.a.t.Helper()
	c := s.mustConnect(from, through, port)
	defer c.Close()
	return c.name
}

// reset says that the other side has sent a reset.
func reset(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNREFUSED)
}
