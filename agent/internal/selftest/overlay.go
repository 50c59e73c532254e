package selftest

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// overlayTick is how often echoes that are due are sent, and how long at most the
// socket outlives its namespace.
const overlayTick = 250 * time.Millisecond

// overlay tests the overlay to all other nodes.
type overlay struct {
	Options
	table  *table
	pinger *probe.Pinger // nil while there is no mesh
	space  uint64        // the namespace that it is in
	self   *mesh.Node    // and the node that it is of
	// probing has room for the one probe at a time.
	probing chan struct{}
	noisy   rate.Sometimes

	mu     sync.Mutex
	said   []mesh.Warning
	saidAt time.Time
}

func newOverlay(o Options) *overlay {
	return &overlay{
		Options: o, table: &table{now: time.Now}, probing: make(chan struct{}, 1), noisy: rate.Sometimes{Interval: time.Hour},
	}
}

func (o *overlay) run(ctx context.Context) {
	tick := time.NewTicker(overlayTick)
	defer tick.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	defer o.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			o.step(ctx, &work)
		}
	}
}

func (o *overlay) step(ctx context.Context, work *sync.WaitGroup) {
	rec, node := o.Record()
	o.table.keep(rec, node)
	if rec == nil || rec.Nodes[node] == nil {
		o.close()
		return
	}
	o.follow(ctx, rec.Nodes[node], work)
	if o.pinger == nil {
		return
	}
	up := true
	for _, e := range o.table.send() {
		if err := o.pinger.Send(e.addr, e.size); notUp(err) {
			o.table.unsent(e)
			up = false
		}
	}
	if !up {
		o.close() // the socket is bound to a link that has gone; one of its name may be there by now
	}
	o.probe(ctx, work)
}

// notUp: there is no way out of this node's own mesh, which the node reports.
func notUp(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO)
}

// follow has the socket be in the namespace that is there now.
func (o *overlay) follow(ctx context.Context, self *mesh.Node, work *sync.WaitGroup) {
	space := o.Kernel.MeshID()
	if o.pinger != nil && (space != o.space || self.MeshAddress() != o.self.MeshAddress()) {
		o.close()
	}
	if o.pinger != nil || space == 0 {
		return
	}
	p, err := probe.NewPinger(ctx, o.Kernel, self)
	if err != nil {
		o.noisy.Do(func() { o.Log.Info("the overlay is not tested yet", "error", err) })
		return
	}
	o.pinger, o.space, o.self = p, space, self
	work.Go(func() { p.Read(o.table.take) })
}

func (o *overlay) close() {
	if o.pinger != nil {
		o.pinger.Close()
		o.pinger = nil
	}
}

// probe finds out beside the echoes why peers do not answer.
func (o *overlay) probe(ctx context.Context, work *sync.WaitGroup) {
	select {
	case o.probing <- struct{}{}:
	default:
		return
	}
	rec, node, names := o.table.toProbe()
	if len(names) == 0 {
		<-o.probing
		return
	}
	work.Go(func() {
		defer func() { <-o.probing }()
		resp, err := o.Prober.Probe(ctx, rec, node, names)
		if err != nil && ctx.Err() == nil {
			o.noisy.Do(func() {
				o.Log.Warn("cannot find out why nodes do not answer over the overlay", "nodes", names, "error", err)
			})
		}
		if err != nil {
			resp = nil
		}
		o.table.probed(rec, names, resp)
	})
}

// warningsFor is how long warnings hold: a balancer may ask many times a second.
const warningsFor = time.Second

// warnings puts what this node sees into sentences.
func (o *overlay) warnings() []mesh.Warning {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.saidAt) >= warningsFor {
		o.said, o.saidAt = o.say(), now
	}
	return append([]mesh.Warning(nil), o.said...)
}

func (o *overlay) say() []mesh.Warning {
	failing := o.table.report()
	rec, node := o.Record()
	if len(failing) == 0 || rec == nil {
		return nil
	}
	all := o.cutOff(rec, node)
	var warnings []mesh.Warning
	for _, p := range mesh.Reach(rec, map[string]*mesh.ProbeResponse{node: {Peers: failing}}) {
		warnings = append(warnings, mesh.Warning{Code: mesh.WarnOverlay, Object: p.Object, Text: p.Text, AllTraffic: all})
	}
	return warnings
}

// cutOff says that no published port leads to an endpoint that this node reaches.
func (o *overlay) cutOff(rec *mesh.Record, node string) bool {
	lost := o.table.lost()
	for _, p := range rec.Ports {
		service := rec.Services[p.Service]
		if service == nil {
			continue
		}
		for _, name := range rec.LiveEndpoints(service) {
			e := service.Endpoints[name]
			if rec.Nodes[e.Node].Serving() && (e.Node == node || !lost[e.Node]) {
				return false
			}
		}
	}
	return len(rec.Ports) > 0
}
