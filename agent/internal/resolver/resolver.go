// Package resolver is the name server of the members of networks, at R in the mesh's network
// namespace: it answers for the cluster's names (package names) and hands everything else on
// to the nameservers of the host.
//
// While the record has networks there is one goroutine that keeps the sockets open, and one
// for each of them that reads; without networks there is nothing. The sockets outlive the
// agent: the service manager keeps them, so that queries wait in them over a restart.
package resolver

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/names"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Spaces runs fn in the mesh's network namespace: an error when that is not there.
// MeshID changes when the namespace is another one, and is 0 when there is none.
type Spaces interface {
	InMesh(fn func() error) error
	MeshID() uint64
}

// Store keeps sockets over a restart of the agent.
type Store interface {
	// Keep keeps a socket under a name, Drop forgets what it has under the name.
	Keep(name string, socket syscall.Conn) error
	Drop(name string) error
}

// Options are what a Resolver works with.
type Options struct {
	Kernel Spaces
	Log    *slog.Logger
	// Resolv is the path of the host's resolv.conf.
	Resolv string
	// Store may be nil: then no socket is kept.
	Store Store
	// Inherited are the sockets that an earlier start of the agent has left, by name.
	Inherited map[string][]*os.File
	Now       func() time.Time // nil is time.Now
}

// Resolver answers the members of networks. Its methods may be called from several goroutines.
type Resolver struct {
	kernel    Spaces
	log       *slog.Logger
	store     Store
	now       func() time.Time
	forwarder *forwarder
	port      uint16                         // dnsPort but in tests
	spaceOf   func(syscall.Conn) (id uint64) // the function of the name but in tests

	table atomic.Pointer[names.Table]    // nil while there are no networks
	at    atomic.Pointer[netip.AddrPort] // R
	node  atomic.Pointer[string]
	turn  atomic.Uint32
	stats stats
	fault fault
	wake  chan struct{} // buffered: run has something to do

	// ending says that the agent ends, and not the networks: the sockets stay in the store.
	ending atomic.Bool

	mu        sync.Mutex // held by Follow and Close
	followed  followed
	running   *running // nil while there are no networks
	inherited inherited
	unkept    rate.Sometimes
}

// followed is what the table was made of.
type followed struct {
	rec       *mesh.Record
	node      string
	now       compile.Conditions
	directory *names.Directory
}

// running is the time for which the record has networks.
type running struct {
	stop, abort context.CancelFunc // of reading queries, of answering those that were read
	done        chan struct{}
}

// New returns a Resolver that answers nobody until Follow is called.
func New(o Options) *Resolver {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Store == nil {
		o.Store = noStore{}
	}
	r := &Resolver{
		kernel: o.Kernel, log: o.Log, store: o.Store, now: o.Now, port: dnsPort, spaceOf: spaceOf, inherited: o.Inherited,
		wake: make(chan struct{}, 1), unkept: rate.Sometimes{Interval: time.Hour},
		forwarder: newForwarder(&upstream{path: o.Resolv, port: dnsPort, now: o.Now}),
	}
	return r
}

// noStore keeps nothing.
type noStore struct{}

func (noStore) Keep(string, syscall.Conn) error { return nil }
func (noStore) Drop(string) error               { return nil }

// Follow answers from now on by the record, as the named node, under the conditions. Without
// networks it answers nobody.
func (r *Resolver) Follow(rec *mesh.Record, node string, now compile.Conditions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending.Load() {
		return
	}
	f := &r.followed
	if same := rec == f.rec && node == f.node; same && sameNames(now, f.now) {
		return
	} else if !same {
		f.directory = names.New(rec, node)
	}
	f.rec, f.node, f.now = rec, node, now
	if f.directory == nil {
		r.table.Store(nil)
		r.leave()
		return
	}
	r.table.Store(f.directory.Under(now))
	at := netip.AddrPortFrom(rec.Resolver(), r.port)
	r.at.Store(&at)
	r.node.Store(&node)
	r.forwarder.upstream.skip(rec.Cluster.AddressPool)
	if r.running == nil {
		r.start()
	}
	signal(r.wake)
}

// sameNames says that names lead to the same under both.
func sameNames(a, b compile.Conditions) bool {
	return maps.Equal(a.Unhealthy, b.Unhealthy) && maps.Equal(a.Absent, b.Absent) && maps.Equal(a.Leaving, b.Leaving)
}

func (r *Resolver) start() {
	reading, stop := context.WithCancel(context.Background())
	answering, abort := context.WithCancel(context.Background())
	r.running = &running{stop, abort, make(chan struct{})}
	done := r.running.done
	go func() {
		defer close(done)
		r.run(reading, answering)
	}()
}

// leave closes the sockets, those too that nobody has taken up.
func (r *Resolver) leave() {
	if r.running != nil {
		r.running.stop()
		r.running.abort()
		<-r.running.done
		r.running = nil
	}
	r.disown()
	r.fault.clear()
}

// Close is for the end of the agent: no more queries are read, so that those that come wait
// for the next start, and those that were read are answered, as long as ctx allows. The
// sockets stay in the store.
func (r *Resolver) Close(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending.Store(true)
	if r.running == nil {
		return
	}
	r.running.stop()
	select {
	case <-r.running.done:
	case <-ctx.Done():
		r.running.abort()
		<-r.running.done
	}
	r.running.abort()
	r.running = nil
}

// signal never waits: a signal that nobody has taken yet says the same.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
