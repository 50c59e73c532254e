// Package firewall deals with what of the host filters packets and is not ours: it
// tells firewalld what the mesh needs (at run time, over D-Bus), and says of every
// other nf_tables rule set what it drops of the mesh.
package firewall

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/vishvananda/netlink"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/wait"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const (
	// busRetry is how long it takes at most until a bus that came (back) is found.
	busRetry = 30 * time.Second
	// calm gathers what firewalld says in one go.
	calm = 50 * time.Millisecond
	// afterwards is when the host is looked at once more after a start, a stop or a
	// reload: firewalld has its name on the bus before it flushes other people's rules.
	afterwards = 4 * time.Second
	// startTime is how long a firewalld that starts may take to answer.
	startTime = 2 * time.Minute
	// firstTime is how long a start of the agent waits for a firewalld that starts too.
	firstTime = 3 * time.Second
	// callTime is for what is asked while somebody waits.
	callTime = 20 * time.Second
	// noteName is where the originals keep what was added.
	noteName = "firewalld"
)

// Originals keeps what the host was like before the mesh.
type Originals interface {
	Get(name string) (value string, ok bool)
	Set(name, value string) error
	Delete(name string) error
}

// Options are what a Firewalld works with.
type Options struct {
	Originals Originals
	Log       *slog.Logger
	// Changed is called when firewalld may have changed or flushed the host's rules.
	Changed func()
	retry   time.Duration
}

// Firewalld is what the agent has to do with the firewalld of its host. One without
// a system bus or without firewalld is a host where there is nothing to do; either
// may come later, or be restarted. It implements reconcile.Firewall.
type Firewalld struct {
	Options

	changing sync.Mutex // held while firewalld is told something

	mu       sync.Mutex
	looks    int // how many were begun
	seenBy   int // which of them has seen
	seen     observed
	flushes  uint64 // see Flushes
	rec      *mesh.Record
	node     string
	underlay string
}

// New returns a Firewalld that knows of the host what it says right now.
func New(ctx context.Context, o Options) *Firewalld {
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.retry == 0 {
		o.retry = busRetry
	}
	f := &Firewalld{Options: o}
	ctx, cancel := context.WithTimeout(ctx, firstTime)
	defer cancel()
	b, err := connect(ctx)
	if err != nil {
		return f
	}
	defer b.close()
	_ = f.look(ctx, b) // it is logged
	return f
}

// Keep has it want what rec asks of the named node.
func (f *Firewalld) Keep(rec *mesh.Record, node string) {
	underlay := ""
	if rec != nil && rec.Nodes[node] != nil {
		underlay = linkOf(rec.Nodes[node].Address)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rec, f.node, f.underlay = rec, node, underlay
}

// Kept is what it was told to keep to.
func (f *Firewalld) Kept() (rec *mesh.Record, node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rec, f.node
}

// linkOf is the link that has the address, "" where that cannot be told: the default
// zone is meant then.
func linkOf(addr netip.Addr) string {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if have, ok := netip.AddrFromSlice(a.IP.To4()); ok && have == addr {
			if link, err := netlink.LinkByIndex(a.LinkIndex); err == nil {
				return link.Attrs().Name
			}
		}
	}
	return ""
}

// wants is what the record asks of what was seen. The lock is held.
func (f *Firewalld) wants() wanted {
	if f.rec != nil && f.rec.Cluster.Firewall == mesh.FirewallReport {
		return wanted{}
	}
	return want(f.rec, f.node, f.underlay, f.seen)
}

// Check implements reconcile.File: from what firewalld has said last, no call.
func (f *Firewalld) Check() state.OwnFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	return state.OwnFile{What: "firewall service", Path: "firewalld", Fault: f.wants().fault(f.seen, f.noted())}
}

// Warnings is what no apply repairs.
func (f *Firewalld) Warnings() []mesh.Warning {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rec == nil {
		return nil
	}
	w := want(f.rec, f.node, f.underlay, f.seen)
	return w.warnings(f.seen, f.node, f.rec.Cluster.Firewall == mesh.FirewallReport, f.rec.Cluster.VXLANPort)
}

// Flushes implements reconcile.Firewall: it counts the starts, stops and reloads.
func (f *Firewalld) Flushes() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flushes
}

// Lacks says that firewalld runs and does not have what the mesh needs.
func (f *Firewalld) Lacks() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := want(f.rec, f.node, f.underlay, f.seen)
	return f.seen.running && (f.seen.panics || len(w.lacks(f.seen)) > 0 || w.lacksLink(f.seen))
}

// Repair implements reconcile.File.
func (f *Firewalld) Repair(ctx context.Context) error {
	_, err := f.tell(ctx, func() wanted {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.wants()
	})
	return err
}

// Leave takes back all that firewalld was told, and says how much that was.
func (f *Firewalld) Leave(ctx context.Context) (removed int, err error) {
	f.Keep(nil, "")
	if _, noted := f.Originals.Get(noteName); !noted {
		return 0, nil
	}
	removed, err = f.tell(ctx, func() wanted { return wanted{} })
	if err == nil {
		err = f.Originals.Delete(noteName)
	}
	return removed, err
}

// tell looks, and makes firewalld what wants says then.
func (f *Firewalld) tell(ctx context.Context, wants func() wanted) (removed int, err error) {
	f.changing.Lock()
	defer f.changing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	b, err := connect(ctx)
	if err != nil {
		return 0, nil // no bus, no firewalld
	}
	defer b.close()
	if err := f.look(ctx, b); err != nil {
		return 0, err
	}
	f.mu.Lock()
	seen := f.seen
	f.mu.Unlock()
	if !seen.running {
		return 0, nil
	}
	removed, err = f.change(ctx, b, wants(), seen)
	return removed, errors.Join(err, f.look(ctx, b))
}

// change does what differs. What is added is noted before, so that a crash between
// the two leaves a note too many, and never a rule.
func (f *Firewalld) change(ctx context.Context, b *bus, w wanted, seen observed) (removed int, err error) {
	was := f.noted()
	next := was.prune(seen)
	missing := w.lacks(seen)
	next.Rules = append(next.Rules, missing...)
	if w.lacksLink(seen) {
		next.Link, next.LinkWas = true, seen.links[state.HostLink]
	}
	if err := f.note(next); err != nil {
		return 0, err
	}
	var errs []error
	for _, r := range missing {
		errs = append(errs, b.addRule(ctx, r))
	}
	if w.lacksLink(seen) {
		errs = append(errs, b.moveLink(ctx, trusted))
	}
	for _, r := range w.stale(seen, was) {
		if !b.isPermanent(ctx, r) {
			errs = append(errs, b.removeRule(ctx, r))
			removed++
		}
		next.drop(r)
	}
	if w.staleLink(seen, was) {
		if permanent := b.permanentZone(ctx); permanent != trusted {
			errs = append(errs, b.moveLink(ctx, cmp.Or(permanent, was.LinkWas)))
			removed++
		}
		next.Link, next.LinkWas = false, ""
	}
	if err := errors.Join(errs...); err != nil {
		return removed, err
	}
	return removed, f.note(next)
}

// look takes in what firewalld says.
func (f *Firewalld) look(ctx context.Context, b *bus) error {
	var zones []string
	for _, r := range f.noted().Rules {
		zones = append(zones, r.Zone)
	}
	f.mu.Lock()
	f.looks++
	this := f.looks
	f.mu.Unlock()
	o, err := b.observe(ctx, zones)
	if err != nil {
		f.Log.Warn("cannot ask firewalld", "error", err)
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if this < f.seenBy { // one that began later has ended before
		return nil
	}
	f.seen, f.seenBy = o, this
	if f.rec != nil && f.rec.Nodes[f.node] != nil {
		f.underlay = linkOf(f.rec.Nodes[f.node].Address)
	}
	return nil
}

// Run follows what firewalld says until ctx ends.
func (f *Firewalld) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if b, err := connect(ctx); err == nil {
			f.follow(ctx, b)
			b.close()
			if ctx.Err() == nil {
				f.Changed() // the bus was there and went: a reload may have been missed
			}
		}
		wait.For(ctx, f.retry)
	}
}

// follow returns when the connection ends.
func (f *Firewalld) follow(ctx context.Context, b *bus) {
	signals, err := b.signals(ctx)
	if err != nil {
		return
	}
	f.lookAgain(ctx, b, false)
	again := time.NewTimer(0)
	<-again.C
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			f.lookAgain(ctx, b, true)
		case s, ok := <-signals:
			if !ok {
				return
			}
			flushed, ok := gather(s, signals)
			if flushed {
				f.noteFlush()
				again.Reset(afterwards)
			}
			f.lookAgain(ctx, b, flushed)
			if !ok {
				return
			}
		}
	}
}

// gather reads what comes with a signal, and says whether firewalld may have flushed
// the host's rules; ok is false at the end of the connection.
func gather(s *dbus.Signal, signals <-chan *dbus.Signal) (flushed, ok bool) {
	end := time.NewTimer(calm)
	defer end.Stop()
	for {
		flushed = flushed || s.Name == reloaded || s.Name == ownerChanged
		select {
		case <-end.C:
			return flushed, true
		case s, ok = <-signals:
			if !ok {
				return flushed, false
			}
		}
	}
}

func (f *Firewalld) noteFlush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushes++
}

// lookAgain asks firewalld, and has the host looked at where that is called for.
func (f *Firewalld) lookAgain(ctx context.Context, b *bus, flushed bool) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	_ = f.look(ctx, b) // it is logged; what was seen last holds
	if flushed || f.Check().Fault != "" {
		f.Changed()
	}
}

// noted is what was added, nothing where it cannot be read.
func (f *Firewalld) noted() (a added) {
	if text, ok := f.Originals.Get(noteName); ok {
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			return added{}
		}
	}
	return a
}

func (f *Firewalld) note(a added) error {
	if len(a.Rules) == 0 && !a.Link {
		if _, ok := f.Originals.Get(noteName); !ok {
			return nil
		}
		return f.Originals.Delete(noteName)
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return f.Originals.Set(noteName, string(text))
}

// prune leaves what is still there: a reload forgets what was added at run time.
func (a added) prune(o observed) (kept added) {
	for _, r := range a.Rules {
		if o.rules[r] {
			kept.Rules = append(kept.Rules, r)
		}
	}
	if a.Link && o.links[state.HostLink] == trusted {
		kept.Link, kept.LinkWas = true, a.LinkWas
	}
	return kept
}

func (a *added) drop(r richRule) {
	for i := range a.Rules {
		if a.Rules[i] == r {
			a.Rules = append(a.Rules[:i:i], a.Rules[i+1:]...)
			return
		}
	}
}
