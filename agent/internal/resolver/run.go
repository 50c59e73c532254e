package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const (
	// tick is how long at most the sockets outlive their namespace, which they keep alive,
	// and how often it is tried to open them.
	tick = 250 * time.Millisecond
	// reviveEvery is how often dead nameservers are asked, if all are.
	reviveEvery = 10 * time.Second
	// brokenFor is how long the sockets may be missing before that is said.
	brokenFor = 5 * time.Second
)

// run keeps the sockets open until reading has ended, and returns once every query that was
// read has been answered.
func (r *Resolver) run(reading, answering context.Context) {
	var open *sockets
	var handlers sync.WaitGroup
	defer func() {
		handlers.Wait()
		r.close(open)
	}()
	timer := time.NewTicker(tick)
	defer timer.Stop()
	revived := r.now()
	for {
		open = r.follow(open, reading, answering, &handlers)
		if now := r.now(); now.Sub(revived) >= reviveEvery {
			revived = now
			if servers, _, alive := r.forwarder.upstream.alive(); !alive {
				handlers.Go(func() { r.forwarder.revive(reading, servers) })
			}
		}
		select {
		case <-reading.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// follow has the sockets be at R, in the namespace that is there now.
func (r *Resolver) follow(open *sockets, reading, answering context.Context, handlers *sync.WaitGroup) *sockets {
	at := place{r.kernel.MeshID(), *r.at.Load()}
	if open != nil && open.fits(at) {
		return open
	}
	r.close(open)
	if at.space == 0 {
		r.disown() // what was inherited is in a namespace that is gone, and keeps it alive
		r.fault.note(fmt.Errorf("there is no network namespace %s", state.Namespace), r.now())
		return nil
	}
	open, err := r.open(reading, at)
	if err != nil {
		if r.fault.note(err, r.now()) {
			r.log.Info("names cannot be asked for yet", "at", at.from, "error", err)
		}
		return nil
	}
	r.fault.clear()
	r.log.Info("answering names", "at", at.from)
	handlers.Go(func() { r.serveDatagrams(open, reading, answering, handlers) })
	handlers.Go(func() { r.serveStreams(open, reading, answering, handlers) })
	return open
}

// fault is what keeps the sockets from being open.
type fault struct {
	mu    sync.Mutex
	err   error
	since time.Time
}

// note says that it is another fault than the last one.
func (f *fault) note(err error, now time.Time) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.since = now
	}
	news = f.err == nil || f.err.Error() != err.Error()
	f.err = err
	return news
}

func (f *fault) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.since = nil, time.Time{}
}

// lasting is the fault that has been there for some time.
func (f *fault) lasting(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || now.Sub(f.since) < brokenFor {
		return nil
	}
	return f.err
}

// Warnings says what keeps members from finding names.
func (r *Resolver) Warnings() []mesh.Warning {
	if r.table.Load() == nil {
		return nil
	}
	var all []mesh.Warning
	say := func(format string, args ...any) {
		all = append(all, mesh.Warning{Code: mesh.WarnNames, Object: mesh.NodeRef(*r.node.Load()), Text: fmt.Sprintf(format, args...)})
	}
	if err := r.fault.lasting(r.now()); err != nil {
		say("Members of networks on this node find no names: the agent cannot answer at %s in the network namespace %s: %s.", *r.at.Load(), state.Namespace, explain(err))
	}
	switch servers, listed, alive := r.forwarder.upstream.alive(); {
	case alive, listed == 0: // a host that lists none finds no other names itself
	case len(servers) == 0:
		say("Members of networks on this node find no names but the cluster's: the host's %s lists no nameserver but the mesh's own, which asks the host's. Put another one there.", r.forwarder.upstream.path)
	default:
		say("Members of networks on this node find no names but the cluster's: no nameserver of the host's %s answers (%s). Put one there that does, or repair the way to it.", r.forwarder.upstream.path, listOf(servers))
	}
	return all
}

func explain(err error) string {
	if errors.Is(err, unix.EADDRINUSE) {
		return "another program listens there (`ip netns exec " + state.Namespace + " ss -lunpt` shows which one)"
	}
	return err.Error()
}

func listOf(servers []*nameserver) string {
	text := ""
	for i, s := range servers {
		if i > 0 {
			text += ", "
		}
		text += s.address.Addr().String()
	}
	return text
}

// place is where sockets are.
type place struct {
	space uint64 // the namespace's id
	from  netip.AddrPort
}
