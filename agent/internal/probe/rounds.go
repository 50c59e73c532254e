package probe

import (
	"context"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/wait"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// smallest is the size of the packet that tells whether anything passes, in
// bytes with its IPv4 header.
const smallest = 128

const (
	// patience is how many rounds a packet of full size is sent before a smaller
	// one is looked for.
	patience = 3
	// stageRounds is how many rounds each step of that search takes: its packets
	// are sent once more before what is not answered counts as lost.
	stageRounds = 2
	// maxWidth is how many sizes one step tries at once, so that a few steps
	// find the exact size.
	maxWidth = 8
	// maxPackets bounds a round, whatever the number of peers: 1024 packets of
	// 1450 bytes in 200 ms are 60 Mbit/s.
	maxPackets = 1024
)

// target is one other node and what is known of the way to it.
type target struct {
	node *mesh.Node
	full int // the overlay's MTU

	result    mesh.PeerProbe
	fullTries int
	sizes     []int // of the search's current step, ascending
	stageAge  int   // rounds that it has been sent in
	lost      int   // the smallest size that counts as lost, 0 while there is none
}

func (t *target) done() bool { return t.result.Answered >= t.full }

func (t *target) searching() bool {
	return t.result.Answered > 0 && !t.done() && t.fullTries >= patience
}

// next lists the sizes to send in this round.
func (t *target) next(width int) []int {
	switch {
	case t.done():
		return nil
	case !t.searching():
		t.fullTries++
		if t.result.Answered > 0 {
			return []int{t.full}
		}
		return []int{min(smallest, t.full), t.full}
	}
	if t.stageAge == stageRounds || t.sizes == nil {
		t.stage(width)
	}
	t.stageAge++
	sizes := []int{t.full} // perhaps only lost so far
	for _, size := range t.sizes {
		if size > t.result.Answered {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

// stage starts the next step of the search, between what passes and what is
// lost; at its end there is nothing between them.
func (t *target) stage(width int) {
	if t.lost == 0 {
		t.lost = t.full
	}
	for _, size := range t.sizes {
		if size > t.result.Answered {
			t.lost = min(t.lost, size)
		}
	}
	between := t.lost - t.result.Answered - 1
	width = min(width, between)
	t.sizes, t.stageAge = make([]int, 0, width), 0
	for i := range width {
		t.sizes = append(t.sizes, t.result.Answered+(i+1)*(between+1)/(width+1))
	}
}

// rounds sends echoes to the targets until all have answered or the context ends.
type rounds struct {
	watch    *watch
	interval time.Duration
	overlay  func(t *target, size int) error
	underlay func(t *target) error
}

// packet is one echo to send; size 0 is a ping on the underlay.
type packet struct {
	to   *target
	size int
}

// run sends a round every interval, and stops sending a while before the context
// ends, so that the last answers are heard.
func (r *rounds) run(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	tick := time.NewTicker(r.interval)
	defer tick.Stop()
	for time.Until(deadline) > hearing {
		r.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-r.watch.complete:
			return
		case <-tick.C:
		}
	}
	select {
	case <-ctx.Done():
	case <-r.watch.complete:
	}
}

// round spreads its packets over half an interval.
func (r *rounds) round(ctx context.Context) {
	packets := r.watch.plan()
	const burst = 32
	pause := r.interval / 2 * burst / max(burst, time.Duration(len(packets)))
	for i, p := range packets {
		if i > 0 && i%burst == 0 && !wait.For(ctx, pause) {
			return
		}
		var err error
		if p.size == 0 {
			err = r.underlay(p.to)
		} else {
			err = r.overlay(p.to, p.size)
		}
		r.watch.sent(p, err)
	}
}
