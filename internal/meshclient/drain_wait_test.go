package meshclient

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestHowLongADrainIsWaitedFor: as long as the node says, and a little more, or
// until it must be done by its own clock where it says nothing any more.
func TestHowLongADrainIsWaitedFor(t *testing.T) {
	silent := errors.New("connection refused")
	for name, tc := range map[string]struct {
		told  time.Duration
		needs func(since time.Duration) (*mesh.Drains, error)
		ctx   time.Duration // 0 for no end
		want  time.Duration
		left  bool
	}{
		"it ends early":           {needs: until(3*time.Second, time.Minute), want: 3 * time.Second},
		"it ends in its time":     {needs: until(30*time.Second, 30*time.Second), want: 30 * time.Second},
		"it is overdue":           {needs: until(time.Hour, 30*time.Second), want: 40*time.Second + drainPoll, left: true},
		"the caller leaves":       {needs: until(time.Hour, 30*time.Second), ctx: 7 * time.Second, want: 7 * time.Second, left: true},
		"it is silent ever since": {told: 20 * time.Second, needs: func(time.Duration) (*mesh.Drains, error) { return nil, silent }, want: 20 * time.Second},
		"it falls silent": {told: time.Hour, needs: func(since time.Duration) (*mesh.Drains, error) {
			if since > 2*time.Second {
				return nil, silent
			}
			return until(time.Hour, 30*time.Second)(since)
		}, want: 30 * time.Second},
		"it misses a beat": {needs: func(since time.Duration) (*mesh.Drains, error) {
			if since > time.Second && since < 5*time.Second {
				return nil, silent
			}
			return until(10*time.Second, 30*time.Second)(since)
		}, want: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, began := t.Context(), time.Now()
				if tc.ctx > 0 {
					limited, cancel := context.WithTimeout(ctx, tc.ctx)
					defer cancel()
					ctx = limited
				}
				w := drainWatch{
					ask:  func(context.Context) (*mesh.Drains, error) { return tc.needs(time.Since(began)) },
					done: func(d *mesh.Drains) (time.Duration, bool) { return remaining(d, func(mesh.Drain) bool { return true }) },
				}
				last, _ := w.wait(ctx, tc.told)
				if took := time.Since(began); took != tc.want || (last != nil) != tc.left {
					t.Errorf("it was waited for %s and left %v, want %s, %v", took, last, tc.want, tc.left)
				}
			})
		})
	}
}

// until is a node that drains until end, and gives itself as long as given.
func until(end, given time.Duration) func(time.Duration) (*mesh.Drains, error) {
	return func(since time.Duration) (*mesh.Drains, error) {
		if since >= end {
			return &mesh.Drains{}, nil
		}
		return &mesh.Drains{Drains: []mesh.Drain{{RemainingMillis: max(0, given-since).Milliseconds()}}}, nil
	}
}

func TestStillDrainingIsOneSentencePerProcess(t *testing.T) {
	at := time.Date(2026, 1, 2, 16, 42, 5, 0, time.UTC)
	drain := func(endpoint string, active uint32, seconds int) leftDrain {
		return leftDrain{mesh.Drain{Service: "web", Endpoint: endpoint, Node: "n2", Active: active}, at.Add(time.Duration(seconds) * time.Second)}
	}
	got := stillDraining([]leftDrain{drain("b", 1, 0), drain("a", 2, 0), drain("a", 1, 3)}, true)
	want := []string{
		"3 connections of endpoint a of service web (node n2): still open, and given until 16:42:08 UTC. Do not stop the process before.",
		"1 connection of endpoint b of service web (node n2): still open, and given until 16:42:05 UTC. Do not stop the process before.",
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %q", got)
	}
	if got := stillDraining([]leftDrain{drain("a", 2, 0)}, false); len(got) != 1 ||
		got[0] != "2 connections of endpoint a of service web (node n2): still listed as draining, although the time is over. `routingmesh-agent status` on the nodes says more." {
		t.Errorf("got %q", got)
	}
}
