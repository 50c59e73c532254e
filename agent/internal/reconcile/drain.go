package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const (
	// drainTick is how often the connections of what drains are counted.
	drainTick = time.Second
	// closing is for how long connections that are opening or closing are waited
	// for when none is established any more: IPVS keeps a closed one for a minute
	// or two, which nobody needs.
	closing = 5 * time.Second
)

// drain is one destination of one published port on its way out.
type drain struct {
	Port     mesh.PortKey   `json:"port"`
	Service  string         `json:"service"`
	Endpoint string         `json:"endpoint"`
	Node     string         `json:"node"`
	Address  netip.AddrPort `json:"address"`
	// Deadline is when it is removed with what connections it still has, at most
	// TimeoutSeconds from now, whatever the clock does.
	Deadline       time.Time `json:"deadline"`
	TimeoutSeconds int       `json:"timeout_seconds"`
	// idle is since when none of its connections is established, as counted by
	// this process; zero while one is.
	idle time.Time
}

type drainKey struct {
	port    mesh.PortKey
	address netip.AddrPort
}

func (d drain) key() drainKey { return drainKey{d.Port, d.Address} }

func (d drain) timeout() time.Duration { return time.Duration(d.TimeoutSeconds) * time.Second }

// resumed counts the deadline by this process's clock, which does not jump.
func (d drain) resumed(now time.Time) drain {
	d.Deadline = now.Add(min(d.Deadline.Sub(now), d.timeout()))
	return d
}

// count notes how many connections there are, and says whether it is over.
func (d *drain) count(load kernel.Load, now time.Time) (over bool) {
	switch {
	case load.Active > 0:
		d.idle = time.Time{}
	case load.Inactive == 0:
		return true
	case d.idle.IsZero():
		d.idle = now
	default:
		over = now.Sub(d.idle) >= closing
	}
	return over || d.expired(now)
}

func (d drain) expired(now time.Time) bool { return !now.Before(d.Deadline) }

// drains are those of one host.
type drains map[drainKey]drain

func (d drains) sorted() []drain {
	return slices.SortedFunc(maps.Values(d), func(a, b drain) int {
		return cmp.Or(a.Port.Compare(b.Port), a.Address.Compare(b.Address))
	})
}

// announcement is what drains once rec is the record.
type announcement struct {
	rec    *mesh.Record
	drains drains
}

// Announce says that rec will be committed, as the named node: what drains from
// then on is on disk when it returns, so that no crash loses a deadline. An error
// is one of the disk; then rec must not be saved.
func (r *Reconciler) Announce(next *mesh.Record, node string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.announced
	r.announced = announcement{next, r.drainsUnder(next, node, time.Now())}
	if err := r.drainFile.save(r.onDisk()); err != nil {
		r.announced = before
		return err
	}
	return nil
}

// onDisk is what the next agent has to know of: the record may be the old one or
// the announced one.
func (r *Reconciler) onDisk() drains {
	all := maps.Clone(r.drains)
	if all == nil {
		all = drains{}
	}
	maps.Copy(all, r.announced.drains)
	return all
}

// endDrains takes out what has no connections to wait for any more, or has had its
// time; ended says that there was such.
func (r *Reconciler) endDrains(ctx context.Context) (ended bool) {
	if len(r.drains) == 0 {
		return false
	}
	loads, err := r.Kernel.Loads(ctx)
	if err != nil && !r.uncounted {
		r.Log.Warn("cannot count the connections of what drains; until it can, it waits for the deadlines", "error", err)
	}
	r.uncounted = err != nil
	now, lines := time.Now(), 0
	for _, d := range r.drains.sorted() {
		load, there := loads[r.realServer(d)]
		if over := d.count(load, now); err == nil && (over || !there) || d.expired(now) {
			ended = true
			delete(r.drains, d.key())
			if lines++; lines <= maxLogged {
				r.logDrained(d, load)
			}
			continue
		}
		r.drains[d.key()] = d
	}
	return ended
}

// realServer is the key of d in the kernel.
func (r *Reconciler) realServer(d drain) (key state.Key) {
	for _, o := range d.realServers(r.rec.Nodes[r.node]) {
		if key = o.Key(); r.desired[key] != nil {
			break
		}
	}
	return key
}

func (r *Reconciler) saveDrains() {
	if err := r.drainFile.save(r.onDisk()); err != nil {
		r.Log.Warn("cannot keep what drains for the next agent", "error", err)
	}
}

// logDraining writes a line for each destination that begins to drain.
func (r *Reconciler) logDraining(next drains) {
	lines := 0
	for _, d := range next.sorted() {
		if _, already := r.drains[d.key()]; !already {
			if lines++; lines <= maxLogged {
				r.Log.Info(fmt.Sprintf("%s: drains: gets no new connections, and goes when those that it has have ended, in %s at most", d, d.timeout()))
			}
		}
	}
}

func (r *Reconciler) logDrained(d drain, load kernel.Load) {
	if load.Active > 0 {
		r.Log.Warn(fmt.Sprintf("%s: has drained for %s and still has %d connections; they end", d, d.timeout(), load.Active))
		return
	}
	r.Log.Info(fmt.Sprintf("%s: has drained", d))
}

func (d drain) String() string {
	return fmt.Sprintf("service %s: endpoint %s (%s) of %s", d.Service, d.Endpoint, d.Address, d.Port)
}

// Drains lists what drains on this node, and counts what connections it has and
// how many come in through this node. It does not wait for a pass that is under way.
func (r *Reconciler) Drains(ctx context.Context) (*mesh.Drains, error) {
	loads, err := r.Kernel.Loads(ctx)
	if err != nil {
		return nil, err
	}
	answer := &mesh.Drains{Drains: []mesh.Drain{}}
	for _, load := range loads {
		answer.Entering += int(load.Active)
	}
	for _, d := range r.view.Load().drains {
		load := loads[d.realServer]
		answer.Drains = append(answer.Drains, mesh.Drain{
			Port: d.Port, Service: d.Service, Endpoint: d.Endpoint, Node: d.Node, Address: d.Address,
			Active: load.Active, Inactive: load.Inactive, RemainingMillis: max(0, time.Until(d.Deadline)).Milliseconds(),
		})
	}
	return answer, nil
}

// Draining is how many destinations drain on this node.
func (r *Reconciler) Draining() int { return len(r.view.Load().drains) }
