package swarm

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

// Ports of the service that is there all the time, and of the one that comes and goes.
const (
	standing = 8080
	first    = 8090
	second   = 8091
	third    = 8092
)

// A mesh has one service on the port standing, and is told which ports a second one has. Both have one endpoint.
type mesh interface {
	// change has everything ready, as a person at a prompt has, and returns what issues the commands.
	change(ctx context.Context, ports ...int) (issue func(context.Context) error, err error)
	// saved is change whose plan somebody has looked at and saved; nil where there is no such thing.
	saved(ctx context.Context, ports ...int) (issue func(context.Context) error, err error)
	// rss is the memory of its processes on the entry node, in MiB.
	rss(ctx context.Context) (float64, error)
}

// A step is a change that is measured.
const (
	publish   = "a service with one port"
	addPort   = "one more port"
	savedPlan = "one more port, saved plan"
)

// A turn is what was measured of one mesh.
type turn struct {
	loads   []datapath.Median
	seconds map[string][]float64 // by step, each time
	outage  load.Outage          // of the port that was there while another one was added, all changes together
	rss     float64
}

// A bench measures one mesh at a time.
type bench struct {
	lab    *rig.Lab
	nodes  []rig.Node
	rounds int
	say    func(string)
}

func ways() []datapath.Way {
	return []datapath.Way{
		{Name: datapath.Direct, Node: datapath.Endpoint, Port: datapath.Target},
		{Name: datapath.Local, Node: datapath.Endpoint, Port: standing},
		{Name: datapath.OtherNode, Node: datapath.Entry, Port: standing},
	}
}

// measure measures a mesh that stands.
func (b bench) measure(ctx context.Context, m mesh) (turn, error) {
	t := turn{seconds: map[string][]float64{}}
	if err := b.serves(ctx, standing, true); err != nil {
		return t, err
	}
	var err error
	if t.loads, err = datapath.Measure(ctx, b.lab, ways(), b.rounds); err != nil {
		return t, err
	}
	if t.rss, err = m.rss(ctx); err != nil {
		return t, err
	}
	for range b.rounds {
		if err := b.round(ctx, m, &t); err != nil {
			return t, err
		}
	}
	return t, nil
}

// round publishes, adds, and takes all away again, which is not measured.
func (b bench) round(ctx context.Context, m mesh, t *turn) error {
	for _, s := range []struct {
		name   string
		change func(context.Context, ...int) (func(context.Context) error, error)
		ports  []int
	}{
		{publish, m.change, []int{first}},
		{addPort, m.change, []int{first, second}},
		{savedPlan, m.saved, []int{first, second, third}},
	} {
		issue, err := s.change(ctx, s.ports...)
		if err == nil && issue != nil {
			err = b.step(ctx, s.name, issue, s.ports, t)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	issue, err := m.change(ctx)
	if err == nil {
		err = issue(ctx)
	}
	if err == nil {
		err = b.serves(ctx, first, false)
	}
	if err != nil {
		return fmt.Errorf("take the service away: %w", err)
	}
	return nil
}

// step issues a change, and takes the time until every node answers on the last of the ports. Where there was one before
// it, that is asked as well, by way of the entry node.
func (b bench) step(ctx context.Context, name string, issue func(context.Context) error, ports []int, t *turn) error {
	fresh := b.targets(ports[len(ports)-1])
	var had []load.Target
	if len(ports) > 1 {
		had = b.targets(first)[:1]
	}
	c, err := ask(ctx, b.lab, append(had, fresh...))
	if err != nil {
		return err
	}
	defer c.stop()
	start := time.Now()
	if err := issue(ctx); err != nil {
		return err
	}
	if err := c.await(ctx, fmt.Sprintf("answer on the new port, all of %v", fresh), func(all []load.Request) bool { return answered(all, fresh) }); err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	b.say(fmt.Sprintf("%s: %.2f s", name, seconds))
	t.seconds[name] = append(t.seconds[name], seconds)
	if had == nil {
		return nil
	}
	since := latest(c.Requests())
	if err := c.await(ctx, fmt.Sprintf("answer on the port that was there before, %v", had), func(all []load.Request) bool { return steady(all, had, since, true) }); err != nil {
		return err
	}
	t.outage = t.outage.Plus(load.OutageOf(c.stop(), had...))
	return nil
}

// serves waits until all nodes answer on a port, or none does.
func (b bench) serves(ctx context.Context, port int, is bool) error {
	targets := b.targets(port)
	c, err := ask(ctx, b.lab, targets)
	if err != nil {
		return err
	}
	defer c.stop()
	what := map[bool]string{true: "answer", false: "answer no more"}[is]
	return c.await(ctx, fmt.Sprintf("%s, all of %v", what, targets), func(all []load.Request) bool { return steady(all, targets, 0, is) })
}

// targets are a port of every node, the entry node's first.
func (b bench) targets(port int) []load.Target {
	var out []load.Target
	for _, n := range b.nodes {
		target := load.Target{Network: load.HTTP, Address: netip.AddrPortFrom(netip.MustParseAddr(n.Address), uint16(port)), Every: every}
		if n.Name == datapath.Entry {
			out = append([]load.Target{target}, out...)
		} else {
			out = append(out, target)
		}
	}
	return out
}
