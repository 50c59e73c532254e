package probe

import (
	"errors"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// watch is what is known of the targets; sender and readers share it.
type watch struct {
	nonce    nonce
	complete chan struct{} // closed when every target has answered at full size

	mu      sync.Mutex
	targets []*target
	byMesh  map[netip.Addr]*target // by S
	byHost  map[netip.Addr]*target // by underlay address
	first   int                    // whose turn it is in the next round, where one has no room for all
}

// plan lists the packets of the next round: of every target, or of as many as
// there is room for, the next ones then.
func (w *watch) plan() []packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	searching := 0
	for _, t := range w.targets {
		if t.searching() {
			searching++
		}
	}
	width := min(maxWidth, max(1, maxPackets/max(1, searching)))
	var packets []packet
	n := len(w.targets)
	for i := range n {
		if len(packets) >= maxPackets {
			w.first = (w.first + i) % n
			break
		}
		t := w.targets[(w.first+i)%n]
		if !t.result.Underlay && !t.done() {
			packets = append(packets, packet{t, 0})
		}
		for _, size := range t.next(width) {
			packets = append(packets, packet{t, size})
		}
	}
	return packets
}

func newWatch(targets []*target, n nonce) *watch {
	w := &watch{
		nonce: n, complete: make(chan struct{}), targets: targets,
		byMesh: make(map[netip.Addr]*target, len(targets)), byHost: make(map[netip.Addr]*target, len(targets)),
	}
	for _, t := range targets {
		w.byMesh[t.node.MeshAddress()], w.byHost[t.node.Address] = t, t
	}
	return w
}

// sent notes why a packet could not be sent. EMSGSIZE is a link's MTU below the
// overlay's: an answer to the question, as silence is. EACCES and EPERM come of
// output rules; what else there is stays the error until something is sent.
func (w *watch) sent(p packet, err error) {
	if p.size == 0 || errors.Is(err, unix.EMSGSIZE) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.to.result.Error = ""
	if err != nil && p.to.result.Answered == 0 {
		p.to.result.Error = err.Error()
	}
}

// overlayEcho takes what arrived in the mesh's namespace: an answer to this
// probe, or an echo request of another node's.
func (w *watch) overlayEcho(e echo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.byMesh[e.from]
	switch {
	case t == nil:
	case e.request:
		t.result.Heard = max(t.result.Heard, e.size)
	case e.nonce == w.nonce:
		t.result.Answered, t.result.Error = max(t.result.Answered, e.size), ""
		t.result.Underlay = true // who answers over the overlay is there, and the probe may be over before its ping
		w.finish()
	}
}

func (w *watch) underlayEcho(e echo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.byHost[e.from]; t != nil && !e.request && e.nonce == w.nonce {
		t.result.Underlay = true
	}
}

// frame takes an overlay frame from the host's links, addressed to self.
func (w *watch) frame(b []byte, c *mesh.Cluster, self netip.Addr) {
	f, ok := parseFrame(b, c.VXLANPort, c.VNI)
	if !ok || f.to != self {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.byMesh[f.sender]
	// Who forges frames forges addresses; a few tell enough.
	if t != nil && f.whole > 0 && (t.result.Whole == 0 || f.whole < t.result.Whole) {
		t.result.Whole = f.whole
	}
	if t == nil || len(t.result.Wire) >= maxSources || slices.Contains(t.result.Wire, f.outer) {
		return
	}
	t.result.Wire = append(t.result.Wire, f.outer)
	slices.SortFunc(t.result.Wire, netip.Addr.Compare)
}

// maxSources is how many outer addresses of one node are worth telling.
const maxSources = 4

// finish closes complete once every target has answered at full size.
func (w *watch) finish() {
	for _, t := range w.targets {
		if !t.done() {
			return
		}
	}
	select {
	case <-w.complete:
	default:
		close(w.complete)
	}
}
