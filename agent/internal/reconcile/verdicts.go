package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// logVerdicts writes one line for each endpoint that has begun to fail its check,
// or answers again, and for each port all of whose endpoints fail.
func (r *Reconciler) logVerdicts(was compile.Conditions) {
	failed, passed := newIn(r.conditions.Unhealthy, was.Unhealthy), newIn(was.Unhealthy, r.conditions.Unhealthy)
	if len(failed)+len(passed)+len(r.conditions.Unhealthy) == 0 {
		r.kept = nil
		return
	}
	checks, results := compile.Checks(r.rec, r.node), r.Health.Results()
	lines := 0
	say := func(log func(string, ...any), format string, args ...any) {
		if lines++; lines <= maxLogged {
			log(fmt.Sprintf(format, args...))
		}
	}
	for _, c := range failed {
		say(r.Log.Warn, "service %s: endpoint %s (%s) fails its check: %s; %s", c.Service, checks[c], c.Addr, cmp.Or(results[c].Reason, "no reason given"), r.consequence(c))
	}
	for _, c := range passed {
		if name, still := checks[c]; still {
			say(r.Log.Info, "service %s: endpoint %s (%s) answers again", c.Service, name, c.Addr)
		}
	}
	kept := r.keptPorts()
	for _, key := range slices.SortedFunc(maps.Keys(kept), mesh.PortKey.Compare) {
		if !r.kept[key] {
			say(r.Log.Warn, "all endpoints of %s fail their checks: all are kept", key)
		}
	}
	r.kept = kept
	if lines > maxLogged {
		r.Log.Warn("more verdicts than are worth a line each", "all", lines)
	}
}

// consequence is what becomes of an endpoint that fails.
func (r *Reconciler) consequence(c compile.Check) string {
	service := r.rec.Services[c.Service]
	switch {
	case compile.Kept(r.rec, r.node, c, r.conditions):
		return "kept, for all others fail as well"
	case service != nil && service.HealthCheck != nil && service.HealthCheck.OnUnhealthy == mesh.CutConnections:
		return "gets no new connections, and those that it has end"
	}
	return "gets no new connections"
}

// keptPorts are those all of whose endpoints fail.
func (r *Reconciler) keptPorts() map[mesh.PortKey]bool {
	services := map[string]bool{}
	for c := range r.conditions.Unhealthy {
		services[c.Service] = true
	}
	kept := map[mesh.PortKey]bool{}
	for name := range services {
		if r.rec.Services[name] == nil {
			continue
		}
		for _, p := range r.rec.ServicePorts(name) {
			if compile.AllFail(r.rec, r.node, p, r.conditions) {
				kept[p.Key()] = true
			}
		}
	}
	return kept
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
