package wait

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	for name, test := range map[string]struct {
		ends, waits, took time.Duration
		want              bool
	}{
		"all of it":              {time.Hour, time.Minute, time.Minute, true},
		"the context ends first": {time.Second, time.Minute, time.Second, false},
		"it ends then":           {time.Minute, time.Minute, time.Minute, false},
		"no time":                {time.Hour, 0, 0, true},
		"a time that has passed": {time.Hour, -time.Minute, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.ends)
				defer cancel()
				begin := time.Now()
				if got, took := For(ctx, test.waits), time.Since(begin); got != test.want && test.ends != test.waits || took != test.took {
					t.Errorf("%v after %s, want %v after %s", got, took, test.want, test.took)
				}
			})
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if For(ended, 0) {
			t.Fatal("it waits on after its context has ended")
		}
	}
}
