// Package presence tells the nodes which of each other's slots are filled. A slot
// is a place for a container: a fixed overlay address within its node's block. Each
// node is the only author of what it says of its own slots, so nothing is merged.
//
// A node sends datagrams from its address N to the N of every other node, in the
// mesh's network namespace: at once when its slots change, and at intervals
// otherwise. Unknown is not gone: a slot is absent only if its node said so, or if
// its node was silent for some time while this one listened.
//
// table.go and what it uses (wire.go, peer.go, schedule.go, roll.go) need no socket;
// run.go and socket.go have the socket.
package presence

import (
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Port is the UDP port that nodes listen on, on N.
const Port = 10255

// Spaces runs fn in the mesh's network namespace: an error when that is not there.
// MeshID changes when the namespace is another one, and is 0 when there is none.
type Spaces interface {
	InMesh(fn func() error) error
	MeshID() uint64
}

// Options are what a Presence works with.
type Options struct {
	Kernel Spaces
	Log    *slog.Logger
	Now    func() time.Time // nil is time.Now
}

// Presence says and hears which slots are filled. Its methods may be called from
// several goroutines, Run only once.
type Presence struct {
	kernel Spaces
	log    *slog.Logger
	now    func() time.Time
	table  *table
	wake   chan struct{} // buffered: Run has something to do

	// What tests on 127.0.0.0/8 change: there is no overlay link.
	link string
	port uint16

	socket *socket // nil while there is none; Run's own

	// Each is logged once an hour: opening fails at every tick until the mesh is up.
	unopened, unsent, refused rate.Sometimes
}

// New makes a Presence that says nothing until Keep, Fill and Run are called.
func New(o Options) *Presence {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	hourly := func() rate.Sometimes { return rate.Sometimes{Interval: time.Hour} }
	return &Presence{
		kernel: o.Kernel, log: o.Log, now: o.Now, table: newTable(newInstance(), o.Now()),
		wake: make(chan struct{}, 1), link: state.OverlayLink, port: Port,
		unopened: hourly(), unsent: hourly(), refused: hourly(),
	}
}

// newInstance tells one start of the agent from another.
func newInstance() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

// Keep replaces what is known of the record. An equal Roll changes nothing. A Roll
// without Self, without Self's node or without any slot stops everything.
func (p *Presence) Keep(r Roll) {
	if p.table.keep(r, p.now()) {
		signal(p.wake)
	}
}

// Fill says which of this node's own slots are filled. Nothing is sent before the
// first call: an agent that has just started would otherwise tell the others that
// the containers that still run are gone.
func (p *Presence) Fill(filled map[netip.Addr]bool) {
	if p.table.fill(filled, p.now()) {
		signal(p.wake)
	}
}

// Absent returns the slots of all nodes that are known to be empty or whose node is
// silent. This node's own are among them only after the first Fill.
func (p *Presence) Absent() map[netip.Addr]bool { return p.table.absent(p.now()) }

// Empty returns those of Absent whose node says so. Of a node that is not heard nothing is sure: it may
// be its agent alone that does not run.
func (p *Presence) Empty() map[netip.Addr]bool { return p.table.missing(p.now(), false) }

// Heard is what is known of a node.
type Heard struct {
	Filled []netip.Addr // the slots of the Roll that it last said were filled, in order
	Silent bool
	Known  bool // it has said something; for this node: Fill was called
}

// Heard returns what is known of each node of the Roll, this one included.
func (p *Presence) Heard() map[string]Heard { return p.table.report(p.now()) }

// Changed is signalled when Absent may have changed.
func (p *Presence) Changed() <-chan struct{} { return p.table.changed }

// signal never waits: a signal that nobody has taken yet says the same.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
