package reconcile

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func newTestConditions() (*conditions, *fakeHealth, *bytes.Buffer) {
	h, log := newFakeHealth(), &bytes.Buffer{}
	return &conditions{health: h, slots: noSlots{}, log: slog.New(slog.NewTextHandler(log, nil))}, h, log
}

// said returns the messages since the last call, a line each.
func said(log *bytes.Buffer) string {
	var lines []string
	for line := range strings.Lines(log.String()) {
		_, line, _ = strings.Cut(line, "msg=")
		lines = append(lines, strings.Trim(line, "\"\n"))
	}
	log.Reset()
	return strings.Join(lines, "\n")
}

// TestConditions_Log: each verdict is logged once, when it changes, with what becomes of
// the endpoint.
func TestConditions_Log(t *testing.T) {
	rec := webOf(t, nil)
	c, h, log := newTestConditions()
	const fails, kept = "fails its check: connection refused; gets no new connections", "fails its check: connection refused; kept, for all others fail as well"
	steps := []struct {
		name    string
		failing bool
		nodes   []int
		says    string
	}{
		{"one fails", true, []int{2}, "service web: endpoint b (10.255.1.2:80) " + fails},
		{"nothing changes", true, []int{2}, ""},
		{"another one", true, []int{1}, "service web: endpoint a (10.255.0.2:80) " + fails},
		{"all fail", true, []int{3}, "service web: endpoint c (10.255.2.2:80) " + kept + "\nall endpoints of 8080/tcp fail their checks: all are kept"},
		{"all still do", true, nil, ""},
		{"all answer", false, []int{1, 2, 3}, "service web: endpoint a (10.255.0.2:80) answers again\n" +
			"service web: endpoint b (10.255.1.2:80) answers again\nservice web: endpoint c (10.255.2.2:80) answers again"},
		{"all fail again", true, []int{1, 2, 3}, "service web: endpoint a (10.255.0.2:80) " + kept + "\nservice web: endpoint b (10.255.1.2:80) " + kept +
			"\nservice web: endpoint c (10.255.2.2:80) " + kept + "\nall endpoints of 8080/tcp fail their checks: all are kept"},
	}
	for _, step := range steps {
		h.is(step.failing, step.nodes...)
		c.update(rec, "n1", nil)
		expect(t, step.name, said(log), step.says)
	}
}

// TestConditions_LogOfCut: an endpoint whose service cuts loses its connections too.
func TestConditions_LogOfCut(t *testing.T) {
	rec := webOf(t, func(_ *mesh.Record, web *mesh.Service) { web.HealthCheck.OnUnhealthy = mesh.CutConnections })
	c, h, log := newTestConditions()
	h.is(true, 2)
	c.update(rec, "n1", nil)
	expect(t, "log", said(log), "service web: endpoint b (10.255.1.2:80) fails its check: connection refused; gets no new connections, and those that it has end")
	c.update(after(t, rec, func(_ *mesh.Record, web *mesh.Service) { delete(web.Endpoints, "b") }), "n1", nil)
	h.is(false, 2)
	c.update(after(t, rec, func(_ *mesh.Record, web *mesh.Service) { delete(web.Endpoints, "b") }), "n1", nil)
	expect(t, "of an endpoint that is no longer there", said(log), "")
}

// TestConditions_Outdated: a verdict that is taken back before it is looked at is none,
// and neither is one that says what is known.
func TestConditions_Outdated(t *testing.T) {
	c, h, _ := newTestConditions()
	expectOutdated := func(step string, want bool) {
		t.Helper()
		if c.outdated() != want {
			t.Errorf("%s: want %v", step, want)
		}
		select {
		case <-h.changed:
			t.Errorf("%s: what has been seen is still news", step)
		default:
		}
	}
	expectOutdated("at first", false)
	h.is(true, 2)
	expectOutdated("one fails", true)
	h.is(false, 2)
	expectOutdated("no longer", false)
	h.is(true, 2)
	c.update(webOf(t, nil), "n1", nil)
	expectOutdated("after an update", false)
}

// TestConditions_Update: the desired state is made of the checks that fail, not of those
// that pass, and of what drains; a host that is left has none of it.
func TestConditions_Update(t *testing.T) {
	c, h, _ := newTestConditions()
	h.is(true, 1, 2)
	h.is(false, 1)
	key := mesh.PortKey{Port: 8080, Protocol: mesh.TCP}
	c.update(webOf(t, nil), "n1", map[mesh.PortKey][]netip.AddrPort{key: {to(3)}})
	expect(t, "conditions", fmt.Sprint(c.now), "{map[{web 10.255.1.2:80}:true] map[8080/tcp:[10.255.2.2:80]] {false } map[] map[] map[]}")
	c.forget()
	expect(t, "after a host is left", fmt.Sprint(c.now, c.allFail), fmt.Sprint(compile.Conditions{}, map[mesh.PortKey]bool(nil)))
}

// TestConditions_ManyAreNotAllLogged: a network that fails takes all endpoints at once.
func TestConditions_ManyAreNotAllLogged(t *testing.T) {
	c, h, log := newTestConditions()
	for port := range uint16(2 * maxLogged) {
		h.failing[compile.Check{Service: "web", Addr: netip.AddrPortFrom(to(1).Addr(), 1000+port)}] = true
	}
	c.update(webOf(t, nil), "n1", nil)
	lines := strings.Split(said(log), "\n")
	if len(lines) != maxLogged+1 || !strings.HasPrefix(lines[maxLogged], "more verdicts than are worth a line each") {
		t.Errorf("%d lines, the last one %s", len(lines), lines[len(lines)-1])
	}
}
