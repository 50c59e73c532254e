package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPace_Next(t *testing.T) {
	p := pace{times: usualTimes, again: true}
	for i, step := range []struct {
		settled, woken, polls bool
		want                  time.Duration
	}{
		{settled: true, want: 2 * time.Second},
		{settled: true, want: 30 * time.Second},
		{want: 200 * time.Millisecond},
		{want: 400 * time.Millisecond},
		{woken: true, want: 200 * time.Millisecond},
		{settled: true, want: 30 * time.Second},
		{settled: true, woken: true, want: 2 * time.Second},
		{settled: true, polls: true, want: 5 * time.Second},
	} {
		if step.woken {
			p.woken()
		}
		p.polls = step.polls
		if got := p.next(step.settled); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	for range 10 {
		p.next(false)
	}
	if got := p.next(false); got != 5*time.Second {
		t.Errorf("at last %s", got)
	}
}

// TestPace_Woken: the first event after a pause is soon, and a burst leaves the engine alone for a while.
func TestPace_Woken(t *testing.T) {
	for _, test := range []struct{ took, ago, want time.Duration }{
		{time.Millisecond, 0, 50 * time.Millisecond},
		{time.Second, 0, 4 * time.Second},
		{time.Second, 3 * time.Second, time.Second},
		{time.Second, time.Minute, 50 * time.Millisecond},
		{10 * time.Second, 0, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := pace{times: usualTimes}
			p.begin()
			time.Sleep(test.took)
			p.end()
			time.Sleep(test.ago)
			if got := p.woken(); got != test.want {
				t.Errorf("%s after a list of %s: %s, want %s", test.ago, test.took, got, test.want)
			}
		})
	}
}
