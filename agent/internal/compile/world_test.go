package compile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// world makes random records and conditions, each from the one before. There are so
// few nodes, services and ports that they meet.
type world struct {
	*rand.Rand
	tb  testing.TB
	rec *mesh.Record
	now Conditions
	// networks says that there may be some.
	networks bool
}

var worldNodes = []string{"n0", "n1", "n2", "n3"}

func newWorld(tb testing.TB, seed uint64) *world {
	return &world{rand.New(rand.NewPCG(seed, 1)), tb, newRecord(tb, worldNodes...), Conditions{}, seed%2 == 0}
}

// step changes one thing of the record, or of the conditions.
func (w *world) step() {
	w.rec = w.rec.Next()
	switch n := w.IntN(26); {
	case n < 4:
		w.putService()
	case n < 6:
		w.tweak()
	case n < 12:
		w.putPort()
	case n < 14:
		key := mesh.PortKey{Port: w.port(), Protocol: w.protocol(), VIP: uint8(w.IntN(2))}
		w.rec.RemovePort(key)
	case n < 15:
		_ = w.rec.RemoveService(w.service()) // may be refused
	case n < 16:
		w.changeNode()
	case n < 18:
		w.now.Unhealthy = maps.Clone(w.now.Unhealthy)
		if w.now.Unhealthy == nil {
			w.now.Unhealthy = map[Check]bool{}
		}
		w.now.Unhealthy[Check{w.service(), w.address()}] = w.IntN(3) > 0
	case n < 19:
		w.now.Unhealthy = nil
	case n < 22:
		w.fillSlots()
	case n < 23 && w.networks:
		w.putNetwork()
	case n < 25 && w.networks:
		w.connect()
	case n < 25:
		w.tweak()
	default:
		w.now.Draining = map[Frontend][]netip.AddrPort{}
		for range w.IntN(3) {
			key := Published(mesh.PortKey{Port: w.port(), Protocol: mesh.TCP})
			if w.IntN(4) == 0 {
				key = []Frontend{{VIP: w.service()}, {VIP: w.service(), Port: key.Port}}[w.IntN(2)]
			}
			w.now.Draining[key] = append(w.now.Draining[key], w.address())
		}
	}
}

func (w *world) service() string { return fmt.Sprintf("s%d", w.IntN(4)) }
func (w *world) port() uint16    { return uint16(80 + w.IntN(6)) }
func (w *world) node() string    { return worldNodes[w.IntN(len(worldNodes))] }

func (w *world) protocol() mesh.Protocol { return []mesh.Protocol{mesh.TCP, mesh.UDP}[w.IntN(2)] }

func (w *world) address() netip.AddrPort {
	if w.IntN(4) == 0 {
		return at(w.IntN(4), 0) // of a range
	}
	return at(w.IntN(4), 8000+uint16(w.IntN(3)))
}

func (w *world) putService() {
	s := &mesh.Service{Name: w.service(), Endpoints: map[string]mesh.Endpoint{}, Scheduler: []string{"", "sh", "wrr"}[w.IntN(3)]}
	for i := range w.IntN(5) {
		e := mesh.Endpoint{Node: w.node(), Port: []uint16{0, 0, 8000, 8001}[w.IntN(4)]}
		if w.IntN(4) == 0 {
			weight := w.IntN(3)
			e.Weight = &weight
		}
		if w.IntN(4) == 0 {
			e.Container, e.Slots = &mesh.Container{Name: fmt.Sprintf("c%d", i)}, make([]uint16, 1+w.IntN(2))
		}
		s.Endpoints[fmt.Sprintf("e%d", i)] = e
	}
	if w.IntN(2) == 0 {
		s.HealthCheck = &mesh.HealthCheck{
			Type: mesh.CheckTCP, Port: []uint16{0, 0, 8002}[w.IntN(3)], IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3,
			OnUnhealthy: []mesh.OnUnhealthy{mesh.KeepConnections, mesh.CutConnections}[w.IntN(2)],
		}
	}
	_ = w.rec.PutService(s) // two endpoints may be one process: then nothing changes
}

// tweak changes one thing of a service.
func (w *world) tweak() {
	s := w.rec.Services[w.service()]
	if s == nil {
		return
	}
	check := mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections}
	if s.HealthCheck != nil {
		check = *s.HealthCheck
	}
	switch w.IntN(5) {
	case 0:
		s.Scheduler = []string{"", "mh"}[w.IntN(2)]
	case 1:
		s.Affinity = &mesh.Affinity{TimeoutSeconds: 1 + w.IntN(2), PrefixLength: 32}
	case 2:
		check.OnUnhealthy = []mesh.OnUnhealthy{mesh.KeepConnections, mesh.CutConnections}[w.IntN(2)]
		s.HealthCheck = &check
	case 3:
		check.Port = []uint16{0, 8002}[w.IntN(2)]
		s.HealthCheck = &check
	default:
		for name, e := range s.Endpoints {
			weight := w.IntN(3)
			e.Weight = &weight
			s.Endpoints[name] = e
			break
		}
	}
	_ = w.rec.PutService(s) // it is changed already; one of its nodes may be gone
}

// fillSlots has containers come and go, on n0 and on others.
func (w *world) fillSlots() {
	w.now.Containers, w.now.Absent = map[netip.Addr]state.Process{}, map[netip.Addr]bool{}
	for name, n := range w.rec.Nodes {
		for _, s := range w.rec.Services {
			for _, e := range s.Endpoints {
				if e.Node != name {
					continue
				}
				for slot := range e.SlotAddresses(n) {
					if w.IntN(3) == 0 {
						w.now.Absent[slot] = true
					} else if w.IntN(2) == 0 {
						w.now.Containers[slot] = state.Process{PID: 1 + w.IntN(3), Start: 1}
					}
				}
			}
		}
	}
}

// putNetwork makes a network, changes its hosts or removes it.
func (w *world) putNetwork() {
	name := fmt.Sprintf("net%d", w.IntN(2))
	if w.IntN(3) == 0 {
		_ = w.rec.RemoveNetwork(name) // a service may be in it
		return
	}
	_ = w.rec.PutNetwork(&mesh.Network{Name: name, Hosts: [][]string{nil, {"n0"}, {"n1", "n2"}, {mesh.EveryHost}}[w.IntN(4)]}) // a node may be gone
}

// connect puts a service into networks, or takes it out; or a slot leaves.
func (w *world) connect() {
	if w.IntN(4) == 0 {
		w.now.Leaving = map[netip.Addr]mesh.NetworkSet{netip.AddrFrom4([4]byte{10, 255, 1, byte(128 + w.IntN(4))}): []mesh.NetworkSet{"", "net0", "net1"}[w.IntN(3)]}
		return
	}
	old := w.rec.Services[w.service()]
	if old == nil {
		return
	}
	s := *old
	s.Networks, s.VIPPorts = map[string]mesh.Membership{}, nil
	for i := range 2 {
		if w.IntN(2) == 0 {
			s.Networks[fmt.Sprintf("net%d", i)] = mesh.Membership{}
		}
	}
	if w.IntN(2) == 0 {
		s.VIPPorts = map[mesh.PortKey]uint16{{Port: w.port(), Protocol: w.protocol()}: 8000 + uint16(w.IntN(3))}
	}
	_ = w.rec.PutService(&s) // there may be no such network, or it has processes and no VIP ports
}

func (w *world) putPort() {
	p := &mesh.PublishedPort{
		Service: w.service(), Published: w.port(), Target: 8000 + uint16(w.IntN(3)), Protocol: w.protocol(),
		Mode: []mesh.Mode{mesh.Ingress, mesh.Host}[w.IntN(2)],
	}
	p.Listen = []mesh.PrefixList{"", "", "10.0.0.0/8", "192.0.2.0/24", "127.0.0.0/8,192.0.2.0/24"}[w.IntN(5)]
	if p.Mode == mesh.Ingress {
		p.Locality = []mesh.Locality{mesh.AnyEndpoint, mesh.PreferLocal, mesh.LocalOnly}[w.IntN(3)]
	}
	if w.IntN(4) == 0 {
		p.Last = p.Published + uint16(1+w.IntN(4))
	}
	_ = w.rec.PutPort(p) // there may be no such service, or the port be another's
}

func (w *world) changeNode() {
	name := w.node()
	if w.IntN(2) == 0 && len(w.rec.Nodes) > 2 {
		w.rec.RemoveNode(name)
		return
	}
	n := &mesh.Node{Name: name, Address: netip.MustParseAddr("192.0.2." + name[1:]).Next(), UnderlayMTU: 1500}
	if w.IntN(2) == 0 {
		n.Availability = mesh.AvailabilityDrain
	}
	must(w.tb, w.rec.PutNode(n))
}
