package presence

import (
	"testing"
	"time"
)

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestIntervalAndSilence(t *testing.T) {
	for peers, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 50: time.Second, 51: 1020 * time.Millisecond, 500: 10 * time.Second} {
		if got := intervalOf(peers); got != want {
			t.Errorf("%d peers: %s, want %s", peers, got, want)
		}
		if got := silenceOf(peers); got != 4*want {
			t.Errorf("%d peers are silent after %s", peers, got)
		}
	}
}

func TestNextDue(t *testing.T) {
	for _, tt := range []struct{ after, phase, want time.Duration }{
		{0, 0, 1000}, {1, 0, 1000}, {999, 0, 1000}, {1000, 0, 2000},
		{0, 300, 300}, {299, 300, 300}, {300, 300, 1300}, {1500, 300, 2300},
	} {
		// An interval of 1000 ns.
		if got := nextDue(start, start.Add(tt.after), 1000, tt.phase).Sub(start); got != tt.want {
			t.Errorf("after %d at phase %d: %d, want %d", tt.after, tt.phase, got, tt.want)
		}
	}
}

// roundsOf lists the milliseconds at which rounds go out.
func roundsOf(changes ...int) (sent []int) {
	var r rounds
	for ms := range 2000 {
		now := start.Add(time.Duration(ms) * time.Millisecond)
		for _, c := range changes {
			if c == ms {
				r.change(now)
			}
		}
		if r.take(now) {
			sent = append(sent, ms)
		}
	}
	return sent
}

func TestRounds(t *testing.T) {
	for name, tt := range map[string]struct{ changes, want []int }{
		"none":               {nil, nil},
		"one":                {[]int{0}, []int{50, 150, 250}},
		"gathered":           {[]int{0, 20, 49}, []int{50, 150, 250}},
		"between the rounds": {[]int{0, 60}, []int{50, 150, 250, 350}},
		"just before one":    {[]int{0, 140}, []int{50, 190, 290, 390}},
		"after all":          {[]int{0, 1000}, []int{50, 150, 250, 1050, 1150, 1250}},
	} {
		if got := roundsOf(tt.changes...); diff(tt.want, got) != "" {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A container that flaps costs at most ten rounds a second.
func TestRounds_Flapping_IsBounded(t *testing.T) {
	var changes []int
	for ms := 0; ms < 1000; ms += 3 {
		changes = append(changes, ms)
	}
	sent := roundsOf(changes...)
	for i := 1; i < len(sent); i++ {
		if sent[i]-sent[i-1] < 100 {
			t.Errorf("rounds at %v", sent)
			break
		}
	}
	if len(sent) < 10 {
		t.Errorf("only %d rounds", len(sent))
	}
}
