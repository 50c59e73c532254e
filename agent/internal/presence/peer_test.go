package presence

import (
	"testing"
	"time"
)

func TestPeer_Accept(t *testing.T) {
	type said struct {
		instance, sequence uint64
		quiet              time.Duration
		want               bool
	}
	const silence = 4 * time.Second
	for name, list := range map[string][]said{
		"in order":  {{1, 1, 0, true}, {1, 2, 0, true}, {1, 9, 0, true}},
		"reordered": {{1, 2, 0, true}, {1, 1, 0, false}, {1, 3, 0, true}},
		"twice":     {{1, 2, 0, true}, {1, 2, 0, false}},
		// No instance and no sequence is special.
		"zero":              {{0, 0, 0, true}, {0, 0, 0, false}, {0, 1, 0, true}},
		"a restart":         {{1, 900, 0, true}, {2, 1, 0, true}, {2, 2, 0, true}},
		"the previous late": {{1, 8, 0, true}, {2, 1, 0, true}, {1, 9, 0, false}, {1, 7, 0, false}, {2, 2, 0, true}},
		"two restarts":      {{1, 8, 0, true}, {2, 1, 0, true}, {3, 1, 0, true}, {1, 9, 0, false}, {2, 2, 0, false}, {3, 2, 0, true}},
		// This agent started after the other's restart, and then the late one came.
		"the one that runs comes back": {
			{2, 5, 0, true}, {1, 9, 0, true}, {2, 6, time.Second, false}, {2, 7, 2 * time.Second, true}, {1, 10, 0, false}, {2, 8, 0, true},
		},
		"an old one does not": {{2, 5, 0, true}, {1, 9, 0, true}, {2, 5, time.Hour, false}, {2, 4, time.Hour, false}},
	} {
		p := &peer{}
		for i, s := range list {
			if got := p.accept(speaker{s.instance, s.sequence}, s.quiet, silence); got != s.want {
				t.Errorf("%s: datagram %d: %t", name, i, got)
			}
		}
	}
}

func TestPeer_Former_IsBounded(t *testing.T) {
	p := &peer{}
	for i := range uint64(100) {
		p.accept(speaker{i, 1}, 0, time.Second)
	}
	if len(p.former) != maxFormer || p.former[maxFormer-1].instance != 98 {
		t.Errorf("%+v", p.former)
	}
}
