package mesh

import (
	"encoding/json"
	"testing"
)

// What a commit and a status cost beside what changes, at 1,000 ports.
func BenchmarkRecord(b *testing.B) {
	base := manyPorts(b, 1000)
	hash := base.Hash()
	next := base.Successor(hash)
	next.Ports[PortKey{Port: 9, Protocol: TCP}] = &PublishedPort{Service: "s0", Published: 9, Target: 9, Protocol: TCP, Mode: Ingress}
	change := asChange(b, base, next)
	data, err := json.Marshal(base)
	if err != nil {
		b.Fatal(err)
	}
	for _, bm := range []struct {
		name string
		run  func() error
	}{
		{"encode", func() error { _, err := json.Marshal(base); return err }},
		{"decode", func() error { _, err := ParseRecord(data); return err }},
		{"hash", func() error { _ = base.Hash(); return nil }},
		{"validate", base.Validate},
		{"successor", func() error { _ = base.Successor(hash); return nil }},
		{"diff", func() error { _ = Diff(base, next); return nil }},
		{"apply", func() error { _, err := base.Apply(change); return err }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bm.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The checks of a record, and what is made for a small change of a large one, must not grow by an allocation
// per port, of which there are 1,000; nor must what is sent. (With the race detector pools forget at random.)
func TestChangeOfALargeRecordIsSmall(t *testing.T) {
	base := manyPorts(t, 1000)
	next := base.Successor(base.Hash())
	must(t, next.PutPort(&PublishedPort{Service: "s0", Published: 9, Target: 9, Protocol: TCP, Mode: Ingress}))
	change := asChange(t, base, next)
	if data, err := json.Marshal(change); err != nil || len(data) > 600 {
		t.Errorf("%d bytes are sent for one port, %v", len(data), err)
	}
	for name, tt := range map[string]struct {
		ceiling float64
		run     func()
	}{
		"validate":  {50, func() { must(t, base.Validate()) }},
		"successor": {40, func() { _ = base.Successor("") }},
		"diff":      {20, func() { _ = Diff(base, next) }},
	} {
		if got := testing.AllocsPerRun(5, tt.run); got > tt.ceiling {
			t.Errorf("%s allocates %.0f times, want at most %.0f", name, got, tt.ceiling)
		}
	}
}
