package meshclient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const (
	// batchTimeout is a net below the callers' own deadlines.
	batchTimeout = 30 * time.Minute
	// sendTimeout bounds what goes on after the callers can no longer stop it.
	sendTimeout = 3 * time.Minute
	// busyPatience is three times what a dead writer holds the lease for.
	busyPatience = 3 * mesh.LeaseTTL
	settlePause  = 200 * time.Millisecond
	maxRedo      = 20
	maxPause     = 2 * time.Second
)

// commitRun takes one batch of operations to one commit.
type commitRun struct {
	*Client
	batch       *batch
	began       time.Time
	redone      int
	held        map[string]*member // whose lease we may have, by endpoint key
	upgraded    bool
	asked       bool             // again, those who were silent: see silent
	failures    []Notice         // of upgrades
	uninstalled map[string]error // why an agent that is missing could not be installed, by endpoint key
}

func (c *Client) commitBatch(ctx context.Context, b *batch) {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	r := &commitRun{Client: c, batch: b, began: time.Now(), held: map[string]*member{}, uninstalled: map[string]error{}}
	for r.round(ctx) {
	}
	r.letGo(ctx)
}

// round makes the next record, asks everyone about it and sends it; true means
// that it must be made again.
func (r *commitRun) round(ctx context.Context) (again bool) {
	snap, err := r.cache.forChange(ctx)
	ops := r.batch.live()
	if len(ops) == 0 {
		return false
	}
	if err == nil && firstCreate(ops) != nil {
		err = r.twins(snap)
	} else if err == nil {
		err = r.judge(ctx, snap, false)
	}
	if err != nil {
		return r.fail(ctx, ops, err)
	}
	base := snap.Record
	if base == nil {
		if base = firstCreate(ops); base == nil {
			return r.fail(ctx, ops, errNoCluster())
		}
	}
	next, ops := r.apply(snap, base, ops)
	if len(ops) == 0 {
		return true
	}
	members := r.members(snap, next, ops)
	p := newProposal(snap, next, ops, members)
	if p.unchanged() && snap.heard && !r.behind(snap, members) {
		return r.repair(ctx, snap, ops, members)
	}
	if failures := r.silent(p); len(failures) > 0 {
		return r.refuse(ctx, p, failures)
	}
	if r.upgrade(ctx, snap, members) {
		return true
	}
	return r.ask(ctx, p)
}

// ask prepares the proposal everywhere and, if all speaks for it, sends it.
func (r *commitRun) ask(ctx context.Context, p *proposal) (again bool) {
	asked := time.Now()
	r.prepareAll(ctx, p)
	if ctx.Err() != nil {
		return r.stopped(ctx, p.ops)
	}
	if p.ahead() || p.superseded() {
		if r.redone++; r.redone > maxRedo {
			return r.fail(ctx, p.ops, &BusyError{time.Since(r.began), "Other writers were always faster."})
		}
		r.cache.drop()
		return r.pause(ctx, p, maxPause)
	}
	enough, refusals := p.majority()
	if busy := p.busy(); busy != nil {
		return r.wait(ctx, p, busy, enough)
	}
	if r.failOps(ctx, p) {
		return true
	}
	if !enough {
		return r.fail(ctx, p.ops, refusals)
	}
	if failures := r.unprepared(p); len(failures) > 0 {
		return r.refuse(ctx, p, failures)
	}
	// The leases must all have been held at one time: that is what keeps the promises
	// of a voter that has lost its record since.
	if time.Since(asked) > mesh.LeaseTTL || !r.batch.begin(p.ops) {
		return true
	}
	return r.send(ctx, p)
}

// apply makes the next record; an operation that breaks a rule goes back to
// its caller, and the others start from a clean copy. Its generation is beyond all that
// were seen or promised, so that every member may take it.
func (r *commitRun) apply(snap *Snapshot, base *mesh.Record, ops []*operation) (*mesh.Record, []*operation) {
	for {
		next := base.Successor(snap.hash)
		next.Generation = max(next.Generation, snap.newest+1)
		failed := slices.IndexFunc(ops, func(op *operation) bool {
			err := op.apply(next)
			if err != nil {
				r.batch.end(op, nil, err)
			}
			return err != nil
		})
		if failed < 0 {
			next.Voters = r.nextVoters(snap, base, ops)
			return next, ops
		}
		ops = slices.Delete(slices.Clone(ops), failed, failed+1)
	}
}

// fail ends the batch. The leases go first: who is told may well try again.
func (r *commitRun) fail(ctx context.Context, ops []*operation, err error) (again bool) {
	r.letGo(ctx)
	for _, op := range ops {
		r.batch.end(op, nil, err)
	}
	return false
}

// stopped ends the batch: every caller has left, or the client closes.
func (r *commitRun) stopped(ctx context.Context, ops []*operation) bool {
	return r.fail(ctx, ops, fmt.Errorf("the commit was not begun: %w", context.Cause(ctx)))
}

// wait lets the other writer finish. With the majority in hand the lease is
// kept, so that of two writers one always gets on.
func (r *commitRun) wait(ctx context.Context, p *proposal, busy *mesh.Refusal, majority bool) (again bool) {
	waited := &BusyError{time.Since(r.began), busy.Text}
	r.batch.waitsFor(p.ops, waited)
	if waited.Waited > busyPatience {
		return r.fail(ctx, p.ops, waited)
	}
	if !majority {
		r.letGo(ctx)
		r.cache.drop()
	}
	r.redone++
	longest := maxPause
	if after := time.Duration(busy.RetryAfterMillis) * time.Millisecond; after > 0 {
		longest = min(longest, after)
	}
	r.log(ctx, "another writer holds the lease", map[string]any{"waiting at most": longest.String(), "says": busy.Text})
	return r.pause(ctx, p, longest)
}

// pause waits before the record is made again, for longer each time: another writer, or a
// voter that answers only now and then, gets on meanwhile.
func (r *commitRun) pause(ctx context.Context, p *proposal, longest time.Duration) (again bool) {
	pause := min(50*time.Millisecond<<min(r.redone, 6), longest)
	select {
	case <-time.After(pause/2 + rand.N(pause/2+1)):
		return true
	case <-ctx.Done():
		return r.stopped(ctx, p.ops)
	}
}

func errNoCluster() error {
	return &mesh.Error{Object: mesh.ClusterRef, Attribute: "cluster_id", Summary: "No cluster",
		Detail: "The provider's hosts answer, and none has a record of a cluster: a routingmesh_cluster must be created first."}
}
