package meshclient

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// leftDrain is a drain that was not waited for to its end.
type leftDrain struct {
	mesh.Drain
	until time.Time
}

// stillDraining says which endpoints must not be stopped yet, one sentence each;
// interrupted tells that there was no time to wait, else they are overdue.
func stillDraining(left []leftDrain, interrupted bool) []string {
	type process struct{ service, endpoint, node string }
	active, until := map[process]int{}, map[process]time.Time{}
	for _, d := range left {
		p := process{d.Service, d.Endpoint, d.Node}
		active[p] += int(d.Active)
		if d.until.After(until[p]) {
			until[p] = d.until
		}
	}
	var texts []string
	for _, p := range slices.SortedFunc(maps.Keys(until), func(a, b process) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.node, b.node))
	}) {
		what := fmt.Sprintf("%s of endpoint %s of service %s (node %s)", counted(active[p], "connection"), p.endpoint, p.service, p.node)
		if interrupted {
			texts = append(texts, fmt.Sprintf("%s: still open, and given until %s. Do not stop the process before.", what, until[p].Format("15:04:05 MST")))
			continue
		}
		texts = append(texts, fmt.Sprintf("%s: still listed as draining, although the time is over. `routingmesh-agent status` on the nodes says more.", what))
	}
	return texts
}
