package meshclient

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

const (
	// drainPoll is from one look at what drains to the next.
	drainPoll = 500 * time.Millisecond
	// drainGrace is how long after the time that it told a node may still list a
	// drain: the agent looks once a second, and may be busy.
	drainGrace = 10 * time.Second
	// lastLook bounds what is asked after the caller has left.
	lastLook = 3 * time.Second
)

// draining is what a commit has set in motion: the process behind a destination
// may be stopped when no node sends to it any more.
type draining struct {
	before, after *mesh.Record
	members       []*member // that drain something, whoever's it is
}

// portsDrained is drained for what a change took out of the ports that are
// asked for. A change that took out nothing waits for nobody.
func (c *Client) portsDrained(ctx context.Context, result *Result, of func(*mesh.PublishedPort) bool) {
	if result == nil || result.draining == nil || len(result.draining.members) == 0 {
		return
	}
	if out := result.draining.caused(of); len(out) > 0 {
		c.drained(ctx, result, func(d mesh.Drain) bool { return out[destination{d.Port, d.Address}] })
	}
}

// drained waits, outside the queue, until none of the nodes drains what is ours
// any more. What goes on when ctx ends, or beyond its time, is a warning: the
// change itself is done.
func (c *Client) drained(ctx context.Context, result *Result, ours func(mesh.Drain) bool) {
	if result == nil || result.draining == nil {
		return
	}
	d := result.draining
	left := c.waitDrained(ctx, d.members, longestDrain(d.before, d.after), ours, nil)
	for _, text := range stillDraining(left, ctx.Err() != nil) {
		result.Warnings = append(result.Warnings, notice(mesh.ProblemDraining, mesh.Ref{}, "The change is done. %s", text))
	}
}

// waitDrained is drained for known nodes; it returns what they still drain. A
// node that says nothing at all is given told. seen gets every answer; it may be nil.
func (c *Client) waitDrained(ctx context.Context, members []*member, told time.Duration, ours func(mesh.Drain) bool, seen func(*member, *mesh.Drains)) []leftDrain {
	ctx, cancel := c.whileOpen(ctx)
	defer cancel()
	var mu sync.Mutex
	var left []leftDrain
	each(members, func(_ int, m *member) {
		w := drainWatch{
			ask: func(ctx context.Context) (*mesh.Drains, error) {
				d, err := c.lastDrains(ctx, m.ep)
				if err == nil && seen != nil {
					seen(m, d)
				}
				return d, err
			},
			done: func(d *mesh.Drains) (time.Duration, bool) { return remaining(d, ours) },
		}
		if last, when := w.wait(ctx, told); last != nil {
			mu.Lock()
			defer mu.Unlock()
			for _, drain := range last.Drains {
				if ours(drain) {
					left = append(left, leftDrain{drain, when.Add(time.Duration(drain.RemainingMillis) * time.Millisecond)})
				}
			}
		}
	})
	return left
}

// lastDrains is drains, and one short look all the same where ctx has ended: who
// is not to wait must know what for.
func (c *Client) lastDrains(ctx context.Context, ep *sshdial.Endpoint) (*mesh.Drains, error) {
	if ctx.Err() != nil {
		short, cancel := c.detach(ctx, lastLook)
		defer cancel()
		ctx = short
	}
	return c.agents.Drains(ctx, ep)
}

// drainWatch asks one node until it is done.
type drainWatch struct {
	ask func(context.Context) (*mesh.Drains, error)
	// done tells whether the answer is what is waited for, and else for how long
	// it may be another one.
	done func(*mesh.Drains) (time.Duration, bool)
}

// wait returns nil when the node is done, or cannot be asked and must be done by
// its own clock; else its last answer, and when that was. Until the node has
// said how long it needs, that is told.
func (w *drainWatch) wait(ctx context.Context, told time.Duration) (last *mesh.Drains, when time.Time) {
	deadline := time.Now().Add(told)
	for {
		got, err := w.ask(ctx)
		if err != nil && ctx.Err() != nil && last == nil {
			got, err = w.ask(ctx)
		}
		now := time.Now()
		if err == nil {
			need, done := w.done(got)
			if done {
				return nil, now
			}
			if last == nil {
				deadline = now.Add(need)
			}
			last, when = got, now
			if now.After(deadline.Add(drainGrace)) {
				return last, when
			}
		} else if ctx.Err() == nil && !now.Before(deadline) {
			return nil, now
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return last, when
		}
	}
}

// remaining is how long the last of our drains may take; true when there is none.
func remaining(d *mesh.Drains, ours func(mesh.Drain) bool) (longest time.Duration, none bool) {
	none = true
	for _, drain := range d.Drains {
		if ours(drain) {
			longest, none = max(longest, time.Duration(drain.RemainingMillis)*time.Millisecond), false
		}
	}
	return longest, none
}

// longestDrain is the longest that any of the records' services gives.
func longestDrain(records ...*mesh.Record) time.Duration {
	var longest time.Duration
	for _, r := range records {
		if r == nil {
			continue
		}
		for _, s := range r.Services {
			longest = max(longest, s.Drain())
		}
	}
	return longest
}

// destination is where a published port leads.
type destination struct {
	port    mesh.PortKey
	address netip.AddrPort
}

// caused lists what the commit took out of the ports that are asked for: what
// they lead to no more. Whether anything goes there still is the nodes' to say.
func (d *draining) caused(of func(*mesh.PublishedPort) bool) map[destination]bool {
	out := map[destination]bool{}
	if d == nil || d.before == nil {
		return out
	}
	for k, p := range d.before.Ports {
		if after := d.after.Ports[k]; after != nil && of(p) {
			for address := range targets(d.before, p) {
				out[destination{k, address}] = true
			}
			for address := range targets(d.after, after) {
				delete(out, destination{k, address})
			}
		}
	}
	return out
}

// targets are the addresses that get the port's connections, on any node.
func targets(r *mesh.Record, p *mesh.PublishedPort) map[netip.AddrPort]bool {
	all := map[netip.AddrPort]bool{}
	service := r.Services[p.Service]
	for _, name := range r.LiveEndpoints(service) {
		e := service.Endpoints[name]
		if n := r.Nodes[e.Node]; n.Serving() {
			for address := range p.AddressesFor(e, n, n) {
				all[address] = true
			}
			if p.ClientAddress != mesh.Preserve {
				continue
			}
			for _, entry := range r.Nodes { // each node has its own
				for address := range p.AddressesFor(e, n, entry) {
					all[address] = true
				}
			}
		}
	}
	return all
}
