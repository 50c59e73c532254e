package reconcile

import (
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// drainTick is how often the connections of what drains are counted.
const drainTick = time.Second

// drains are the destinations of this host on their way out, and the file that keeps
// them for the next agent. What drains under a record is announced, and on disk, before
// the record is; it drains once the record has begun.
type drains struct {
	log  *slog.Logger
	file drainFile
	now  drainSet
	// announced is the record that will be committed, nil for none, and what will drain
	// under it.
	announced      *mesh.Record
	underAnnounced drainSet
	// uncounted is why the connections could not be counted the last time.
	uncounted error
}

// newDrains has what an earlier agent has kept, until a record begins.
func newDrains(path string, log *slog.Logger) drains {
	d := drains{log: log, file: drainFile{path: path}}
	d.now = d.file.load(log)
	return d
}

// announce puts on disk what will drain under rec, beside what drains now. An error is
// one of the disk, and then nothing is announced that was not.
func (d *drains) announce(rec *mesh.Record, under drainSet) error {
	if err := d.file.save(forNextAgent(d.now, under)); err != nil {
		return err
	}
	d.announced, d.underAnnounced = rec, under
	return nil
}

// begin has those drain that were announced for rec; under returns them where none were.
func (d *drains) begin(rec *mesh.Record, under func() drainSet) {
	next := d.underAnnounced
	if d.announced != rec {
		next = under()
	}
	d.logBegun(next)
	d.now, d.announced, d.underAnnounced = next, nil, nil
	d.save()
}

// end takes out what has no connections to wait for any more, or has had its time; ended
// says that there was such. load returns the connections of one, false where the kernel
// does not have it; uncounted is why they could not be counted, and then only deadlines
// end a drain.
func (d *drains) end(load func(drain) (kernel.Load, bool), uncounted error, now time.Time) (ended bool) {
	if uncounted != nil && d.uncounted == nil {
		d.log.Warn("cannot count the connections of what drains; until it can, it waits for the deadlines", "error", uncounted)
	}
	d.uncounted = uncounted
	lines := 0
	for _, one := range d.now.sorted() {
		load, there := load(one)
		if over := one.count(load, now); uncounted == nil && (over || !there) || one.expired(now) {
			ended = true
			delete(d.now, one.key())
			if lines++; lines <= maxLogged {
				d.logEnded(one, load)
			}
			continue
		}
		d.now.put(one)
	}
	return ended
}

// forget is for a host that is left.
func (d *drains) forget() {
	d.now, d.announced, d.underAnnounced = nil, nil, nil
	d.save()
}

// save puts on disk what drains; that it cannot is logged.
func (d *drains) save() {
	if err := d.file.save(forNextAgent(d.now, d.underAnnounced)); err != nil {
		d.log.Warn("cannot keep what drains for the next agent", "error", err)
	}
}

// forNextAgent is what that one has to know of: the record may be the old one or the
// announced one.
func forNextAgent(now, announced drainSet) drainSet {
	all := maps.Clone(now)
	if all == nil {
		all = drainSet{}
	}
	maps.Copy(all, announced)
	return all
}

// logBegun writes a line for each destination that begins to drain.
func (d *drains) logBegun(next drainSet) {
	lines := 0
	for _, one := range next.sorted() {
		if _, already := d.now[one.key()]; !already {
			if lines++; lines <= maxLogged {
				d.log.Info(fmt.Sprintf("%s: drains: gets no new connections, and goes when those that it has have ended, in %s at most", one, one.timeout()))
			}
		}
	}
}

func (d *drains) logEnded(one drain, load kernel.Load) {
	if load.Active > 0 {
		d.log.Warn(fmt.Sprintf("%s: has drained for %s and still has %d connections; they end", one, one.timeout(), load.Active))
		return
	}
	d.log.Info(fmt.Sprintf("%s: has drained", one))
}
