package watch

import (
	"context"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/iptables"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
)

// canaryInterval is how often a Watch looks for what no event tells of.
const canaryInterval = time.Second

// Watch sees that something of ours may have changed in the kernel. It does not
// say what: the caller that is woken observes. What other programs do with their own
// links and routes wakes nobody; what they do to iptables does, for the kernel
// does not tell whose rules have changed.
//
// Links, addresses, routes, rules, neighbours and FDB entries are events of
// rtnetlink, the namespace one of inotify. For chains, sets and IPVS services
// there is a canary once a second, which costs some 20 system calls.
type Watch struct {
	options Options
	wake    chan struct{}

	mu     sync.Mutex
	host   *events
	mesh   *meshWatch // nil while there is no namespace
	folder *events    // inotify on the folder of namespaces; nil while there is none
	canary *canary
	nft    bool    // what iptables was when an observation began
	base   Reading // what the canary said then
	based  bool
	buffer [1 << 16]byte // what is read from a descriptor
	// state and chains say that they may have changed since an observation of
	// them began; counted says it of the state because of what the canary counts.
	state, chains, counted bool
}

// Options say what is watched.
type Options struct {
	Host *netns.Space // the host's namespace
	File string       // where the mesh's namespace is mounted
	// HostLinks and MeshLinks are the names of our links in the two namespaces.
	HostLinks, MeshLinks []string
	// HostInterests and MeshInterests say which events there are about objects of ours.
	HostInterests, MeshInterests []Interest
}

// New starts to watch. The caller runs Run, and gives it back by Close.
func New(o Options) (*Watch, error) {
	w := &Watch{options: o, wake: make(chan struct{}, 1)}
	var err error
	if w.canary, err = newCanary(o.Host.NS); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.host, err = w.subscribe(o.Host.NS, o.HostLinks, o.HostInterests); err != nil {
		w.canary.close()
		return nil, err
	}
	w.follow()
	return w, nil
}

// Close gives back the sockets. Run must have returned.
func (w *Watch) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.host.close()
	w.canary.close()
	if w.folder != nil {
		w.folder.close()
	}
	w.leaveMesh()
}

// Run looks at the canary until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(canaryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look()
		}
	}
}

// Wake gets a value when something may have changed. Several changes may give
// one, and one may be old news by the time it is received: ask Pending.
func (w *Watch) Wake() <-chan struct{} { return w.wake }

// Pending says whether something may have changed that no observation announced
// by Cover will see.
func (w *Watch) Pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending()
}

// pending is Pending. The lock is held.
func (w *Watch) pending() bool { return w.state || w.chains || w.counted }

// Cover says that an observation begins, of chains or without them: it sees all that has
// happened until now, our own writes included.
func (w *Watch) Cover(chains bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nft = iptables.UsesNFT()
	w.follow()
	for _, e := range w.sources() {
		e.drain()
	}
	now := w.read()
	w.state, w.counted = false, false
	if !chains && w.based {
		w.chains = w.chains || now.Chains != w.base.Chains
		now.Chains = w.base.Chains
	} else {
		w.chains = false
	}
	w.base, w.based = now, true
	select {
	case <-w.wake:
	default:
	}
	if w.chains {
		w.signal()
	}
}

// ChainsUntouched says whether nobody has changed any chain since the last
// observation of all began. False where that cannot be told.
func (w *Watch) ChainsUntouched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.chainsUntouched()
}

func (w *Watch) chainsUntouched() bool {
	w.follow()
	now := w.read().Chains
	return w.based && !w.chains && now != "" && now == w.base.Chains
}

// ChainsCertain is ChainsUntouched where no change can escape: nf_tables counts
// every one, legacy tables only tell their sizes.
func (w *Watch) ChainsCertain() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nft && iptables.UsesNFT() && w.chainsUntouched()
}

// Untouched says whether nobody has changed anything of ours since the last
// observation of all began, as far as events and the canary tell. False where they
// cannot.
func (w *Watch) Untouched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follow()
	for _, e := range w.sources() {
		e.drain()
	}
	return w.based && !w.pending() && w.base.told() && w.read() == w.base
}

// Own says that since Untouched was true we have written: wrote counts in a reading what
// was added and removed. It returns whether the canary says that it was that only. What it
// says is what later readings are compared with; if it was not that only, something else
// has changed.
func (w *Watch) Own(wrote func(*Reading)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	wrote(&w.base)
	if w.read() != w.base {
		w.counted = true
		w.signal()
		return false
	}
	w.counted = false
	if w.pending() {
		return false
	}
	select {
	case <-w.wake:
	default:
	}
	return true
}

// Reloaded says that another program says it has recreated all of its rules.
func (w *Watch) Reloaded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state, w.chains = true, true
	w.signal()
}

// look compares the canary with what it was.
func (w *Watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follow()
	if !w.based {
		return
	}
	now := w.read()
	if now == w.base {
		return
	}
	w.chains = w.chains || now.Chains != w.base.Chains
	now.Chains = w.base.Chains
	w.counted = w.counted || now != w.base
	w.signal()
}

// changed notes an event. The lock is held.
func (w *Watch) changed() {
	w.state = true
	w.signal()
}

func (w *Watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Watch) sources() []*events {
	all := []*events{w.host}
	if w.folder != nil {
		all = append(all, w.folder)
	}
	if w.mesh != nil {
		all = append(all, w.mesh.events)
	}
	return all
}
