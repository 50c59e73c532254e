//go:build kernel

package kernel_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// talker is a udp client that keeps its source port and asks all the time.
type talker struct {
	t    *testing.T
	mu   sync.Mutex
	last string
	n    int
}

// talk asks from a machine until the test ends.
func talk(t *testing.T, m *machine, to string) *talker {
	t.Helper()
	k := &talker{t: t}
	var c net.Conn
	m.in(func() (err error) {
		c, err = net.Dial("udp4", to)
		return err
	})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	t.Cleanup(func() {
		close(stop)
		c.Close()
		wg.Wait()
	})
	wg.Go(func() {
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_, _ = c.Write([]byte("who are you?")) // refused while nobody is there
			}
		}
	})
	wg.Go(func() {
		buf := make([]byte, 100)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n, err := c.Read(buf); err == nil {
				k.mu.Lock()
				k.last, k.n = string(buf[:n]), k.n+1
				k.mu.Unlock()
			}
		}
	})
	return k
}

func (k *talker) heard() (last string, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.n
}

// isAnswered wants new answers by the endpoint within a second.
func (k *talker) isAnswered(after, by string) {
	k.t.Helper()
	_, before := k.heard()
	took := until(k.t, time.Second, "after "+after+", the client is answered by "+by, func() bool {
		last, n := k.heard()
		return last == by && n > before
	})
	k.t.Logf("after %s: answered after %s", after, took.Round(time.Millisecond))
}

// isSilent wants that no answer comes any more.
func (k *talker) isSilent(why string) {
	k.t.Helper()
	_, before := k.heard()
	stays(k.t, 300*time.Millisecond, why+", and yet an answer comes", func() bool {
		_, n := k.heard()
		return n <= before+1 // one may be on the way
	})
}

// udpEndpoints answer with "node:port", and say how many they were asked.
func (s *trio) udpEndpoints(places ...place) (asked func(place) int) {
	s.a.t.Helper()
	var mu sync.Mutex
	counts := map[string]int{}
	for _, p := range places {
		m := s.a
		if p.on == 2 {
			m = s.b
		}
		m.in(func() error {
			c, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", p.port))
			if err != nil {
				return err
			}
			m.t.Cleanup(func() { c.Close() })
			go func() {
				buf := make([]byte, 100)
				for {
					_, from, err := c.ReadFrom(buf)
					if err != nil {
						return
					}
					mu.Lock()
					counts[p.name()]++
					mu.Unlock()
					_, _ = c.WriteTo([]byte(p.name()), from)
				}
			}()
			return nil
		})
	}
	return func(p place) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[p.name()]
	}
}

// A udp client that keeps its source port and never stops asking is answered by
// who is to answer it within a second of the write, whatever that changed.
func TestUDPFollowsAtOnce(t *testing.T) {
	s := newTrio(t)
	s.udpEndpoints(place{1, 5301, 0}, place{1, 5302, 0}, place{2, 5301, 0})
	v := state.VirtualServer{Proto: "udp", Scheduler: "rr"}
	const nodeA = "192.168.77.1:5353"
	s.serve(v, 5353, place{2, 5301, 1})
	k := talk(t, s.c, nodeA)
	k.isAnswered("the beginning", "b:5301")
	s.serveOn(s.a, v, 5353, place{1, 5301, 1})
	k.isAnswered("its endpoint was replaced", "a:5301")
	s.serveOn(s.a, v, 5353, place{1, 5302, 1})
	k.isAnswered("the target port changed", "a:5302")
	s.serveOn(s.a, v, 5353, place{1, 5302, 1}, place{2, 5301, 1})
	k.isAnswered("an endpoint was added", "a:5302")
	s.serveOn(s.a, v, 5353, place{2, 5301, 1})
	k.isAnswered("one of two endpoints was removed", "b:5301")
	s.serveOn(s.a, v, 5353)
	k.isSilent("there is no endpoint")
	s.serveOn(s.a, v, 5353, place{1, 5301, 1})
	k.isAnswered("an endpoint came back", "a:5301")

	s.withdraw(s.a, "udp", 5353)
	s.a.settle(s.want[s.a])
	k.isSilent("the port is closed")
	s.serveOn(s.a, v, 5353, place{2, 5301, 1})
	k.isAnswered("the port was published while the client asked", "b:5301")
}

// What breaks the way in leaves entries that keep to the broken way; they go with
// its repair.
func TestUDPIsAnsweredAfterARepair(t *testing.T) {
	s := newTrio(t)
	s.udpEndpoints(place{2, 5301, 0})
	s.serve(state.VirtualServer{Proto: "udp", Scheduler: "rr"}, 5353, place{2, 5301, 1})
	tests := []struct {
		broken, host, mesh string
		from               *machine
		to                 string
	}{
		{broken: "the host's nat table flushed", host: "iptables -t nat -F", from: s.c, to: "192.168.77.1:5353"},
		{broken: "the host's nat table flushed, a client on the node", host: "iptables -t nat -F", from: s.a, to: "127.0.0.1:5353"},
		{broken: "only the source of clients on the node lost", host: "iptables -t nat -F ROUTINGMESH-POST", from: s.a, to: "127.0.0.1:5353"},
		{broken: "the mesh's nat table flushed", mesh: "iptables -t nat -F", from: s.c, to: "192.168.77.1:5353"},
		{broken: "the set flushed", host: "ipset flush routingmesh-udp", from: s.c, to: "192.168.77.1:5353"},
		{broken: "IPVS flushed", mesh: "ipvsadm -C", from: s.c, to: "192.168.77.1:5353"},
		{broken: "the address of the mesh lost", mesh: "ip addr del 10.255.1.1/32 dev lo", from: s.c, to: "192.168.77.1:5353"},
	}
	for _, tt := range tests {
		t.Run(tt.broken, func(t *testing.T) {
			s.a.t = t
			if tt.host != "" {
				s.a.run(tt.host)
			} else {
				s.a.mesh(tt.mesh)
			}
			k := talk(t, tt.from, tt.to)
			k.isSilent(tt.broken)
			s.a.reach(s.want[s.a], 3)
			k.isAnswered("the repair", "b:5301")
		})
	}
}

// Every packet of a client goes to the endpoint whose turn it is, and no answer
// comes back: IPVS has forgotten the connection by then, and conntrack has never
// known of it.
func TestOnePacketIsOneWay(t *testing.T) {
	s := newTrio(t)
	one, two := place{1, 5301, 1}, place{2, 5301, 1}
	asked := s.udpEndpoints(one, two)
	v := state.VirtualServer{Proto: "udp", Scheduler: "rr", OnePacket: true}
	s.serve(v, 5353, one, two)
	k := talk(t, s.c, "192.168.77.1:5353")
	until(t, 5*time.Second, "both endpoints are asked", func() bool { return asked(one)+asked(two) >= 40 })
	a, b := asked(one), asked(two)
	_, answers := k.heard()
	t.Logf("one client port: %d packets at one endpoint, %d at the other, %d answers", a, b, answers)
	if a < 15 || b < 15 {
		t.Errorf("one endpoint got %d packets, the other %d", a, b)
	}
	if answers > 0 {
		t.Errorf("%d answers came back: the documentation says that none do", answers)
	}
	v.OnePacket = false
	s.serveOn(s.a, v, 5353, one)
	k.isAnswered("one_packet was switched off", one.name())
}
