package meshclient

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// slowFetch takes a second and numbers its answers.
func slowFetch(n *int, fail func(int) error) *snapshotCache {
	return &snapshotCache{
		fetch: func(ctx context.Context) (*Snapshot, error) {
			*n++
			number := *n
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return &Snapshot{Warnings: make([]string, number)}, fail(number)
		},
		detach: func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.WithoutCancel(ctx), d)
		},
	}
}

func never(int) error { return nil }

func TestCacheDoesNotStoreAFetchFromBeforeAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		c := slowFetch(&fetches, never)
		early := make(chan *Snapshot)
		go func() {
			s, _ := c.get(t.Context())
			early <- s
		}()
		synctest.Wait()
		c.drop() // a commit, while the fetch is under way
		late, err := c.get(t.Context())
		if err != nil || len(late.Warnings) != 2 {
			t.Errorf("who asked after the write got answer %d, %v", len(late.Warnings), err)
		}
		if s := <-early; len(s.Warnings) != 1 {
			t.Errorf("who asked before it got answer %d", len(s.Warnings))
		}
		if c.last() != late {
			t.Error("the answer from before the write was stored")
		}
	})
}

func TestCacheKeepsNoErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		c := slowFetch(&fetches, func(n int) error {
			if n == 1 {
				return errors.New("first")
			}
			return nil
		})
		if _, err := c.get(t.Context()); err == nil || c.last() != nil {
			t.Errorf("got %v", err)
		}
		if _, err := c.get(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCacheCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		c := slowFetch(&fetches, never)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := c.get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := c.get(t.Context()); err != nil || fetches != 1 {
			t.Errorf("%v after %d fetches: the fetch did not outlive its first caller", err, fetches)
		}
	})
}

// The next change starts from what the last one left; who reads asks the nodes.
func TestCacheKeepsWhatACommitLeftForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		c := slowFetch(&fetches, never)
		left := &Snapshot{}
		c.committed(left)
		if got, err := c.forChange(t.Context()); got != left || err != nil || fetches != 0 {
			t.Errorf("%p, %v, %d fetches", got, err, fetches)
		}
		read, err := c.get(t.Context())
		if read == left || err != nil || fetches != 1 {
			t.Errorf("%p, %v, %d fetches", read, err, fetches)
		}
		if got, err := c.forChange(t.Context()); got != read || err != nil || fetches != 1 {
			t.Error("what was read since is not what counts")
		}
		c.committed(left)
		c.drop()
		if got, err := c.forChange(t.Context()); got == left || err != nil || fetches != 2 {
			t.Errorf("%p, %v, %d fetches", got, err, fetches)
		}
	})
}
