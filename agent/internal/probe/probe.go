// Package probe tries the overlay from this node to others: ICMP echoes of
// several sizes from S to S over vx0, and pings between the underlay addresses.
// Meanwhile it listens, in the mesh's namespace for the others' echoes, and on
// the host's links for the overlay's frames, which it sees before any firewall
// does. Nothing listens when no probe runs.
package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/wait"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Spaces runs fn in the host's network namespace, or in the mesh's: an error
// when that is not there.
type Spaces interface {
	InHost(fn func() error) error
	InMesh(fn func() error) error
}

// Prober probes for one host, one probe at a time.
type Prober struct {
	spaces Spaces
	turn   chan struct{}
}

// New returns a Prober of the host that spaces is of.
func New(spaces Spaces) *Prober {
	return &Prober{spaces: spaces, turn: make(chan struct{}, 1)}
}

// Probe tries the overlay from the named node of rec to the peers, all others
// when there are none; what is no other node of rec is passed over. A host that
// is no node has nothing to say. It takes window at most, and waits for a probe
// that runs already: each hears the others' packets of its own time.
func (p *Prober) Probe(ctx context.Context, rec *mesh.Record, node string, peers []string) (*mesh.ProbeResponse, error) {
	resp := &mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{}}
	if rec == nil || rec.Nodes[node] == nil {
		return resp, nil
	}
	targets := newTargets(rec, node, peers)
	if len(targets) == 0 {
		return resp, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("another probe is running: %w", ctx.Err())
	}
	if err := p.try(ctx, rec, rec.Nodes[node], targets); err != nil {
		return nil, err
	}
	for _, t := range targets {
		resp.Peers[t.node.Name] = t.result
	}
	return resp, nil
}

func newTargets(rec *mesh.Record, self string, peers []string) []*target {
	if len(peers) == 0 {
		peers = rec.NodeNames()
	}
	var targets []*target
	for _, name := range slices.Compact(slices.Sorted(slices.Values(peers))) {
		if n := rec.Nodes[name]; n != nil && name != self {
			targets = append(targets, &target{node: n, full: rec.MTU()})
		}
	}
	return targets
}

// try opens the sockets and runs the window. That nothing can be sent is a
// result; that the host's links cannot be listened to is an error.
func (p *Prober) try(ctx context.Context, rec *mesh.Record, self *mesh.Node, targets []*target) error {
	nonce := newNonce()
	s, err := openSockets(ctx, p.spaces, &rec.Cluster, self)
	defer s.close()
	if notReady, ok := errors.AsType[*notReadyError](err); ok {
		for _, t := range targets {
			t.result.Error = notReady.Error()
		}
		return nil
	}
	if err != nil {
		return err
	}
	w := newWatch(targets, nonce)
	timed, stop := context.WithTimeout(ctx, window)
	defer stop()
	readers, timed := errgroup.WithContext(timed)
	context.AfterFunc(timed, s.interrupt)
	readers.Go(func() error { return readEchoes(s.mesh, w.overlayEcho) })
	readers.Go(func() error { return readEchoes(s.host, w.underlayEcho) })
	readers.Go(func() error {
		return readFrames(s.wire, func(b []byte) { w.frame(b, &rec.Cluster, self.Address) })
	})
	r := &rounds{
		watch: w, interval: interval,
		overlay:  func(t *target, size int) error { return send(s.mesh, t.node.MeshAddress(), size, nonce) },
		underlay: func(t *target) error { return send(s.host, t.node.Address, smallest, nonce) },
	}
	r.run(timed)
	wait.For(timed, afterwards)
	stop()
	return cmp.Or(readers.Wait(), ctx.Err())
}

// The window, and how it is used. A round takes interval; the last ones send
// nothing and only hear.
const (
	window   = 3 * time.Second
	interval = 200 * time.Millisecond
	hearing  = 400 * time.Millisecond
	// afterwards is for the frames of the last answers, which another goroutine reads.
	afterwards = 50 * time.Millisecond
)
