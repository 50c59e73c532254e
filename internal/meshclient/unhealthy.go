package meshclient

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Unhealthy says in sentences, sorted by service and endpoint, which endpoints
// fail the checks of which nodes, why, and from where they work. It is as the
// nodes that answered saw it, and no drift: they do with such an endpoint what
// the record says.
func (s *Snapshot) Unhealthy() []string {
	failing := map[checked]map[string]mesh.EndpointHealth{} // by node
	addresses := map[[2]string]map[netip.AddrPort]bool{}
	var asked []string
	for _, node := range slices.Sorted(maps.Keys(s.Nodes)) {
		st := s.Nodes[node].Status
		if st == nil {
			continue
		}
		asked = append(asked, node)
		for _, e := range st.Unhealthy {
			c, name := checked{e.Service, e.Endpoint, e.Address}, [2]string{e.Service, e.Endpoint}
			if failing[c] == nil {
				failing[c] = map[string]mesh.EndpointHealth{}
			}
			if addresses[name] == nil {
				addresses[name] = map[netip.AddrPort]bool{}
			}
			failing[c][node], addresses[name][e.Address] = e, true
		}
	}
	var sentences []string
	for _, c := range slices.SortedFunc(maps.Keys(failing), checked.compare) {
		what := fmt.Sprintf("endpoint %s of service %s", c.endpoint, c.service)
		if len(addresses[[2]string{c.service, c.endpoint}]) > 1 {
			what += fmt.Sprintf(", port %d,", c.address.Port())
		}
		sentences = append(sentences, what+verdicts(failing[c], asked))
	}
	return sentences
}

// checked is what nodes check: an endpoint at one of its ports.
type checked struct {
	service, endpoint string
	address           netip.AddrPort
}

func (c checked) compare(o checked) int {
	return cmp.Or(cmp.Compare(c.service, o.service), cmp.Compare(c.endpoint, o.endpoint), c.address.Compare(o.address))
}

// verdicts says which of the nodes it fails, why, and which it does not.
func verdicts(failing map[string]mesh.EndpointHealth, asked []string) string {
	fails := slices.Sorted(maps.Keys(failing))
	works := slices.DeleteFunc(slices.Clone(asked), func(node string) bool { return slices.Contains(fails, node) })
	text := " fails the checks of " + and(fails) + " (" + reasons(failing, fails) + ")"
	if len(works) > 0 {
		text += "; it works from " + and(works)
		if len(works) < len(fails) {
			text += " only"
		}
	}
	kept := slices.DeleteFunc(fails, func(node string) bool { return failing[node].Health != mesh.UnhealthyKept })
	if len(kept) > 0 {
		text += "; it is used all the same, for the others fail too"
	}
	return text + "."
}

// reasons are the one that all nodes have, or whose is which.
func reasons(failing map[string]mesh.EndpointHealth, nodes []string) string {
	by := map[string][]string{}
	for _, node := range nodes {
		by[failing[node].Reason] = append(by[failing[node].Reason], node)
	}
	var texts []string
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		if len(by) == 1 {
			return reason
		}
		texts = append(texts, fmt.Sprintf("%s: %s", and(by[reason]), reason))
	}
	return strings.Join(texts, "; ")
}

// and joins names as a sentence does: n1, n2 and n3.
func and(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
