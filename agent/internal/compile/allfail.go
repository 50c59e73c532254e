package compile

import (
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// AllFail says that every endpoint that the published port has on the node fails
// its check, so that all are used all the same.
func AllFail(rec *mesh.Record, node string, p *mesh.PublishedPort, now Conditions) bool {
	self := rec.Nodes[node]
	return self != nil && slices.ContainsFunc(destinations(rec, self, p, now), func(d destination) bool { return d.sick && d.weight > 0 })
}
