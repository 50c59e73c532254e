//go:build kernel

package kernel_test

import (
	"context"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// 5,000 ports with 10 endpoints each. The times are for a person to read; what
// is asserted is that one more port costs about nothing next to all of them.
func TestFiveThousandPorts(t *testing.T) {
	m := newMachine(t, "a")
	var others []node
	for n := node(2); n <= 11; n++ {
		others = append(others, n)
	}
	want := desired(t, 1, others...)
	m.reach(want, 1)
	for port := uint16(10000); port < 15000; port++ {
		publish(want, 1, "tcp", port, port+10000, others...)
	}
	ops := m.plan(want)
	all := timed(t, "apply 5,000 ports with 10 endpoints", func() { m.apply(ops) })
	timed(t, "observe everything", func() { m.observe() })
	timed(t, "observe without chains", func() { m.traffic() })
	timed(t, "plan nothing", func() {
		if ops := m.plan(want); len(ops) > 0 {
			t.Errorf("%d ops left, the first: %s", len(ops), ops[0])
		}
	})
	publish(want, 1, "tcp", 8443, 443, others...)
	ops = state.Plan(withoutChains(want), m.traffic())
	another := timed(t, "apply one more port", func() { m.apply(ops) })
	if another > all/100 {
		t.Errorf("one more port took %s, all of them %s", another, all)
	}
}

func (m *machine) traffic() state.State {
	m.t.Helper()
	s, err := m.Observe(context.Background(), kernel.Traffic)
	m.must(err)
	return s
}

func timed(t *testing.T, what string, fn func()) time.Duration {
	t.Helper()
	start := time.Now()
	fn()
	took := time.Since(start)
	t.Logf("%s: %s", what, took.Round(time.Millisecond/10))
	return took
}

// Linux 6.1 leaves services out of /proc/net/ip_vs when other namespaces have
// some too, and there are more than fit into 4 kB; see readDestinations.
func TestServicesInOtherNamespacesHideNoneOfOurs(t *testing.T) {
	a, b := newMachine(t, "a"), newMachine(t, "b")
	wantA, wantB := desired(t, 1, 2), desired(t, 2, 1)
	for port := uint16(10000); port < 10200; port++ {
		publish(wantA, 1, "tcp", port, port, 1, 2)
		publish(wantB, 2, "tcp", port, port, 1, 2)
	}
	a.reach(wantA, 1)
	b.reach(wantB, 1)
	a.reach(wantA, 1)
}
