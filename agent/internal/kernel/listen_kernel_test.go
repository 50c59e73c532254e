//go:build kernel

package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/selftest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// sides is two nodes and a client. Node a has a private and a public address, and endpoints
// of the service pub (port 80), node b those of priv (port 81).
type sides struct {
	t       *testing.T
	a, b, c *machine
	rec     *mesh.Record
}

const (
	publicA, privateA, addressB = "203.0.113.1", "192.168.77.1", "192.168.77.2"
	publicPort                  = publicA + ":8080"
	privatePort                 = privateA + ":8080"
)

func newSides(t *testing.T, firewall bool) *sides {
	t.Helper()
	w := newWire(t)
	s := &sides{t: t, a: newMachine(t, "a"), b: newMachine(t, "b"), c: newMachine(t, "c"), rec: crashRecord(t)}
	w.plug(s.a, node(1).underlay())
	w.plug(s.b, node(2).underlay())
	w.plug(s.c, netip.MustParseAddr("192.168.77.100"))
	s.a.run("ip addr add 203.0.113.1/24 dev eth0")
	s.c.run("ip route add 203.0.113.0/24 dev eth0")
	s.b.run("ip route add 203.0.113.0/24 dev eth0")
	s.rec.RemovePort(mesh.PortKey{Port: 8080, Protocol: mesh.TCP})
	for name, on := range map[string]string{"pub": "n1", "priv": "n2"} {
		must(t, s.rec.PutService(&mesh.Service{Name: name, Endpoints: map[string]mesh.Endpoint{"one": {Node: on}}}))
	}
	for _, m := range []*machine{s.a, s.b} {
		if firewall {
			m.strict()
		}
	}
	for label, m := range map[string]*machine{"pub:80": s.a, "priv:81": s.b} {
		serves(m, label)
	}
	return s
}

// serves answers by tcp and udp with the label and whom it sees; by tcp it sends back what it gets.
func serves(m *machine, label string) {
	m.t.Helper()
	_, port, _ := net.SplitHostPort(label)
	m.in(func() error {
		l, err := net.Listen("tcp4", ":"+port)
		if err != nil {
			return err
		}
		m.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go accepted(c, label)
			}
		}()
		p, err := net.ListenPacket("udp4", ":"+port)
		if err != nil {
			return err
		}
		m.t.Cleanup(func() { p.Close() })
		go func() {
			buf := make([]byte, 100)
			for {
				_, from, err := p.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = p.WriteTo([]byte(label+" sees "+host(from)+"\n"), from)
			}
		}()
		return nil
	})
}

func accepted(c net.Conn, label string) {
	defer c.Close()
	fmt.Fprintf(c, "%s sees %s\n", label, host(c.RemoteAddr()))
	_, _ = io.Copy(c, c)
}

// put publishes 8080 by tcp and udp for addresses of the nodes, none for all.
func (s *sides) put(service string, target uint16, mode mesh.Mode, allowed mesh.PrefixList, addresses ...string) {
	s.t.Helper()
	list, err := mesh.ParseListenAddresses(addresses)
	must(s.t, err)
	for _, proto := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
		must(s.t, s.rec.PutPort(&mesh.PublishedPort{Service: service, Published: 8080, Target: target, Protocol: proto, Mode: mode, Listen: list, AllowedCIDRs: allowed}))
	}
}

func (s *sides) compiled(name string) state.State {
	return compile.Compile(s.rec, name, runningKernel(s.t), compile.Conditions{})
}

// reach brings both nodes to the record, and finds it there; b first, which has endpoints.
func (s *sides) reach() {
	s.t.Helper()
	s.b.reach(s.compiled("n2"), 1)
	s.a.reach(s.compiled("n1"), 1)
}

type asking struct {
	from *machine
	to   string
	want string
}

func (s *sides) asks(when string, protocols []string, all ...asking) {
	s.t.Helper()
	for _, try := range all {
		for _, proto := range protocols {
			if got := try.from.greeting(proto, try.to); got != try.want {
				s.t.Errorf("%s, %s from %s to %s: %q, want %q", when, proto, try.from.name, try.to, got, try.want)
			}
		}
	}
}

var both = []string{"tcp", "udp"}

// One port number at several addresses of a node is several ports: each address leads to
// its service, and where none listens nothing is open.
func TestListenAddresses_Packets(t *testing.T) {
	for name, firewall := range map[string]bool{"open hosts": false, "hosts that drop what nothing accepts": true} {
		t.Run(name, func(t *testing.T) {
			s := newSides(t, firewall)
			s.put("pub", 80, mesh.Ingress, "", "203.0.113.0/24")
			s.put("priv", 81, mesh.Ingress, "", privateA, "127.0.0.0/8")
			s.reach()
			const byA = " sees 10.255.0.1"
			s.asks("two services", both,
				asking{s.c, publicPort, "pub:80" + byA}, asking{s.c, privatePort, "priv:81" + byA},
				asking{s.b, publicPort, "pub:80" + byA}, asking{s.b, privatePort, "priv:81" + byA},
				asking{s.a, publicPort, "pub:80" + byA}, asking{s.a, privatePort, "priv:81" + byA},
				asking{s.a, "127.0.0.1:8080", "priv:81" + byA}, asking{s.b, "127.0.0.1:8080", "priv:81 sees 10.255.1.1"},
			)
			if !firewall {
				s.asks("nobody listens there", both, asking{s.c, addressB + ":8080", "refused"}, asking{s.b, addressB + ":8080", "refused"})
			}
			if got := s.c.ask("tcp", privatePort); got != "priv:81"+byA && !firewall { // a large message both ways
				t.Errorf("a large message: %q", got)
			}
			// Host mode keeps clients' addresses, by the further pair of VIPs as well.
			s.put("pub", 80, mesh.Host, "", "203.0.113.0/24")
			s.put("priv", 81, mesh.Ingress, "", addressB)
			s.reach()
			s.asks("host mode", []string{"tcp"}, asking{s.c, publicPort, "pub:80 sees 192.168.77.100"}, asking{s.a, publicPort, "pub:80" + byA},
				asking{s.c, addressB + ":8080", "priv:81 sees 10.255.1.1"})
			s.put("priv", 81, mesh.Host, "", addressB)
			s.reach()
			s.asks("host mode of the further pair", []string{"tcp"}, asking{s.c, addressB + ":8080", "priv:81 sees 192.168.77.100"},
				asking{s.b, addressB + ":8080", "priv:81 sees 10.255.1.1"})
			s.asks("host mode by udp", []string{"udp"}, asking{s.c, addressB + ":8080", "priv:81 sees 10.255.1.1"})
			s.a.reach(state.State{}, 1)
			s.b.reach(state.State{}, 1)
		})
	}
}

// Who may connect is each port's own, though they share a number.
func TestListenAddresses_AllowedCIDRs(t *testing.T) {
	s := newSides(t, true)
	const byA = " sees 10.255.0.1"
	for _, try := range []struct {
		pub, priv         mesh.PrefixList
		pubByC, privByC   string
		pubByB, privByB   string
		itselfPub, itself string
	}{
		{"", "192.168.77.2/32", "pub:80" + byA, "refused", "pub:80" + byA, "priv:81" + byA, "pub:80" + byA, "priv:81" + byA},
		{"192.168.77.2/32", "", "refused", "priv:81" + byA, "pub:80" + byA, "priv:81" + byA, "pub:80" + byA, "priv:81" + byA},
		{"192.168.77.2/32", "192.168.77.100/32", "refused", "priv:81" + byA, "pub:80" + byA, "refused", "pub:80" + byA, "priv:81" + byA},
	} {
		s.put("pub", 80, mesh.Ingress, try.pub, "203.0.113.0/24")
		s.put("priv", 81, mesh.Ingress, try.priv, privateA)
		s.reach()
		s.asks(fmt.Sprintf("%q and %q", try.pub, try.priv), both,
			asking{s.c, publicPort, try.pubByC}, asking{s.c, privatePort, try.privByC}, asking{s.b, publicPort, try.pubByB}, asking{s.b, privatePort, try.privByB},
			asking{s.a, publicPort, try.itselfPub}, asking{s.a, privatePort, try.itself})
	}
}

// Where a port is open is changed in place: no request is lost at an address that it has
// before and after, and its open connections go on. An address that is taken away is closed
// with its connections, and one that moves leads to the other service at once.
func TestListenAddresses_Changes(t *testing.T) {
	s := newSides(t, false)
	s.put("pub", 80, mesh.Ingress, "")
	s.reach()
	const pub, priv = "pub:80 sees 10.255.0.1", "priv:81 sees 10.255.0.1"
	public, private := s.keep(publicPort), s.keep(privatePort)
	udp := talk(t, s.c, privatePort)
	udp.isAnswered("the beginning", pub+"\n")
	asker := s.c.keepAsking(publicPort, pub)
	change := func(what string, put func()) {
		t.Helper()
		put()
		s.reach()
		asker.next(t)
		public.goesOn("after " + what)
	}
	change("all addresses are listed", func() { s.put("pub", 80, mesh.Ingress, "", "203.0.113.0/24", privateA) })
	private.goesOn("its address is listed")
	udp.isAnswered("all addresses are listed", pub+"\n")
	change("the private one is taken away", func() { s.put("pub", 80, mesh.Ingress, "", publicA) })
	private.hasEnded("its address is closed")
	udp.isSilent("its address is closed")
	change("another service has it", func() { s.put("priv", 81, mesh.Ingress, "", privateA) })
	udp.isAnswered("another service has the address", priv+"\n")
	private = s.keep(privatePort)
	if private.name != priv {
		t.Errorf("the private address leads to %q", private.name)
	}
	change("the first one goes back to two", func() {
		s.put("priv", 81, mesh.Ingress, "", addressB)
		s.put("pub", 80, mesh.Ingress, "", publicA, privateA)
	})
	private.hasEnded("its address has moved")
	udp.isAnswered("the address has moved back", pub+"\n")
	change("the other service is gone, and with it its pair of VIPs", func() {
		for _, proto := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
			s.rec.RemovePort(mesh.PortKey{Port: 8080, Protocol: proto, VIP: 1})
		}
	})
	change("all addresses again", func() { s.put("pub", 80, mesh.Ingress, "") })
	udp.isAnswered("all addresses again", pub+"\n")
	asker.end(t)
	for key := range s.a.observe() {
		if pair, ok := state.PairOfSet(key.Name); ok && (key.Kind == state.KindSet || key.Kind == state.KindSetMember) {
			t.Errorf("a set of pair %d is left: %v", pair, key)
		}
	}
}

// openConnection is an open connection.
type openConnection struct {
	t *testing.T
	*connection
}

func (s *sides) keep(to string) *openConnection {
	s.t.Helper()
	k := &openConnection{t: s.t}
	s.c.in(func() (err error) {
		k.connection, err = dial(netip.Addr{}, netip.MustParseAddrPort(to))
		return err
	})
	s.t.Cleanup(func() { k.Close() })
	return k
}

func (k *openConnection) says() error {
	if err := k.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(k, "there?"); err != nil {
		return err
	}
	_, err := k.r.ReadString('\n')
	return err
}

func (k *openConnection) goesOn(when string) {
	k.t.Helper()
	if err := k.says(); err != nil {
		k.t.Errorf("%s: the connection has ended: %v", when, err)
	}
}

// hasEnded wants a reset, which the host sends for what it knows nothing of, unless its
// firewall drops that.
func (k *openConnection) hasEnded(when string) {
	k.t.Helper()
	if err := k.says(); err == nil || !isReset(err) {
		k.t.Errorf("%s: the connection goes on, or is silent: %v", when, err)
	}
}

func isReset(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// testsItself starts the self-test of node a, which has these addresses.
func (s *sides) testsItself(addresses ...string) (*selftest.Tester, func()) {
	s.t.Helper()
	var own []netip.Addr
	for _, a := range addresses {
		own = append(own, netip.MustParseAddr(a))
	}
	tester := selftest.New(selftest.Options{
		Kernel: s.a, Prober: probe.New(s.a), Log: slog.New(slog.DiscardHandler),
		Record:     func() (*mesh.Record, string) { return s.rec, "n1" },
		Conditions: func() compile.Conditions { return compile.Conditions{} },
		Broken:     func() bool { return false },
		Addresses:  func() ([]netip.Addr, error) { return own, nil },
	})
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { tester.Run(ctx) })
	end := sync.OnceFunc(func() { stop(); run.Wait() })
	s.t.Cleanup(end)
	return tester, end
}

// The self-test goes by an address at which the port is open.
func TestListenAddresses_SelfTest(t *testing.T) {
	s := newSides(t, true)
	s.put("pub", 80, mesh.Ingress, "", "203.0.113.0/24")
	s.put("priv", 81, mesh.Ingress, "192.168.77.2/32", privateA)
	s.reach()
	passed := func(tester *selftest.Tester, want mesh.PathTest) func() bool {
		return func() bool { got := tester.Summary(); return got != nil && got.Path == want }
	}
	tester, end := s.testsItself(publicA, privateA)
	until(t, time.Minute, "the path passes at both addresses", passed(tester, mesh.PathPasses))
	end()
	s.a.run("iptables -t nat -I PREROUTING -d 203.0.113.1 -p tcp --dport 8080 -j RETURN")
	tester, _ = s.testsItself(publicA, privateA)
	until(t, time.Minute, "a port that is not led into the mesh at its address fails", passed(tester, mesh.PathFails))
	if w := tester.Warnings(); len(w) != 1 || w[0].Object != mesh.PortRef(mesh.PortKey{Port: 8080, Protocol: mesh.TCP}) {
		t.Errorf("it warns %v", w)
	}
}
