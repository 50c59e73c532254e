package reconcile

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Health is what health.Checker knows of endpoints.
type Health interface {
	// Keep says from which record's services, and as which node, to check; nil
	// and "" for nothing.
	Keep(rec *mesh.Record, node string)
	// Failing are the checks that fail now, Results what all of them have come to.
	Failing() map[compile.Check]bool
	Results() map[compile.Check]health.Result
	// Changed gets a value when Failing may have changed.
	Changed() <-chan struct{}
}

// Slots is what containers.Keeper knows of slots.
type Slots interface {
	// Keep says from which record, and as which node, slots are to be filled; nil and ""
	// for none.
	Keep(rec *mesh.Record, node string)
	// Containers, Leaving and Absent are what compile.Conditions has of them.
	Containers() map[netip.Addr]state.Process
	Leaving() map[netip.Addr]mesh.NetworkSet
	Absent() map[netip.Addr]bool
	// Changed gets a value when one of them may have changed.
	Changed() <-chan struct{}
}

// noSlots has none.
type noSlots struct{}

func (noSlots) Keep(*mesh.Record, string)                {}
func (noSlots) Containers() map[netip.Addr]state.Process { return nil }
func (noSlots) Leaving() map[netip.Addr]mesh.NetworkSet  { return nil }
func (noSlots) Absent() map[netip.Addr]bool              { return nil }
func (noSlots) Changed() <-chan struct{}                 { return nil }

// noHealth checks nobody.
type noHealth struct{}

func (noHealth) Keep(*mesh.Record, string)                {}
func (noHealth) Failing() map[compile.Check]bool          { return nil }
func (noHealth) Results() map[compile.Check]health.Result { return nil }
func (noHealth) Changed() <-chan struct{}                 { return nil }

// conditions are those that the desired state was made under. The log says what they
// mean for an endpoint, when that changes.
type conditions struct {
	health Health
	slots  Slots
	log    *slog.Logger
	now    compile.Conditions
	// allFail are the ports all of whose endpoints fail, and are used all the same.
	allFail map[mesh.PortKey]bool
	// looked says that it is known what the host forwards.
	looked bool
}

// outdated says that checks or slots have come to something else since the last update.
func (c *conditions) outdated() bool {
	select {
	case <-c.health.Changed(): // what it announces is seen now
	default:
	}
	select {
	case <-c.slots.Changed():
	default:
	}
	return !maps.Equal(failing(c.health), c.now.Unhealthy) || !maps.Equal(c.slots.Containers(), c.now.Containers) ||
		!maps.Equal(c.slots.Leaving(), c.now.Leaving) || !maps.Equal(c.slots.Absent(), c.now.Absent)
}

// update takes what the checks say now, and what drains.
func (c *conditions) update(rec *mesh.Record, node string, draining map[compile.Frontend][]netip.AddrPort) {
	was := c.now.Unhealthy
	c.now = compile.Conditions{
		Unhealthy: failing(c.health), Draining: draining, Forwarding: c.now.Forwarding,
		Containers: c.slots.Containers(), Leaving: c.slots.Leaving(), Absent: c.slots.Absent(),
	}
	c.logVerdicts(rec, node, was)
}

// forwards takes what the host forwards now, and says whether that has changed. Where it
// cannot be read it stays as it was.
func (c *conditions) forwards(k Kernel) bool {
	now, err := k.Forwarding()
	switch {
	case err != nil:
		c.log.Warn("cannot tell whether this host forwards for others", "error", err)
		return false
	case now == c.now.Forwarding && c.looked:
		return false
	}
	switch changed := now.OnlyMesh != c.now.Forwarding.OnlyMesh; {
	case changed && now.OnlyMesh:
		c.log.Info("the mesh has switched ip_forward on, and nobody else needs it: packets between other links of this host are dropped, as before")
	case changed:
		c.log.Info("another program needs ip_forward by now: packets between other links of this host are no longer dropped")
	}
	c.now.Forwarding, c.looked = now, true
	return true
}

// forget is for a host that is left.
func (c *conditions) forget() { c.now, c.allFail, c.looked = compile.Conditions{}, nil, false }

// failing leaves out what is false, so that two of them can be compared.
func failing(h Health) map[compile.Check]bool {
	checks := maps.Clone(h.Failing())
	maps.DeleteFunc(checks, func(_ compile.Check, fails bool) bool { return !fails })
	return checks
}

// logVerdicts writes one line for each endpoint that has begun to fail its check,
// or answers again, and for each port all of whose endpoints fail.
func (c *conditions) logVerdicts(rec *mesh.Record, node string, was map[compile.Check]bool) {
	failed, passed := newIn(c.now.Unhealthy, was), newIn(was, c.now.Unhealthy)
	if len(failed)+len(passed)+len(c.now.Unhealthy) == 0 {
		c.allFail = nil
		return
	}
	checks, results := compile.Checks(rec, node), c.health.Results()
	lines := 0
	say := func(log func(string, ...any), format string, args ...any) {
		if lines++; lines <= maxLogged {
			log(fmt.Sprintf(format, args...))
		}
	}
	for _, check := range failed {
		say(c.log.Warn, "service %s: endpoint %s (%s) fails its check: %s; %s",
			check.Service, checks[check], check.Addr, cmp.Or(results[check].Reason, "no reason given"), c.consequence(rec, node, check))
	}
	for _, check := range passed {
		if name, still := checks[check]; still {
			say(c.log.Info, "service %s: endpoint %s (%s) answers again", check.Service, name, check.Addr)
		}
	}
	allFail := c.portsThatFail(rec, node)
	for _, key := range slices.SortedFunc(maps.Keys(allFail), mesh.PortKey.Compare) {
		if !c.allFail[key] {
			say(c.log.Warn, "all endpoints of %s fail their checks: all are kept", key)
		}
	}
	c.allFail = allFail
	if lines > maxLogged {
		c.log.Warn("more verdicts than are worth a line each", "all", lines)
	}
}

// consequence is what becomes of an endpoint that fails.
func (c *conditions) consequence(rec *mesh.Record, node string, check compile.Check) string {
	service := rec.Services[check.Service]
	switch {
	case compile.Kept(rec, node, check, c.now):
		return "kept, for all others fail as well"
	case service != nil && service.HealthCheck != nil && service.HealthCheck.OnUnhealthy == mesh.CutConnections:
		return "gets no new connections, and those that it has end"
	}
	return "gets no new connections"
}

// portsThatFail are those all of whose endpoints fail.
func (c *conditions) portsThatFail(rec *mesh.Record, node string) map[mesh.PortKey]bool {
	services := map[string]bool{}
	for check := range c.now.Unhealthy {
		services[check.Service] = true
	}
	ports := map[mesh.PortKey]bool{}
	for name := range services {
		if rec.Services[name] == nil {
			continue
		}
		for _, p := range rec.ServicePorts(name) {
			if compile.AllFail(rec, node, p, c.now) {
				ports[p.Key()] = true
			}
		}
	}
	return ports
}

// newIn lists what is in these and not in others, sorted.
func newIn(these, others map[compile.Check]bool) []compile.Check {
	var found []compile.Check
	for c := range these {
		if !others[c] {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b compile.Check) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Addr.Compare(b.Addr))
	})
	return found
}
