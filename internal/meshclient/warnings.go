package meshclient

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// Warning is what keeps traffic from flowing, as one or more nodes say it in the
// same words.
type Warning struct {
	Code mesh.WarningCode
	// Nodes are the nodes that it is about, sorted; none for all of them.
	Nodes []string
	// Text says what, why and what to do, without the nodes.
	Text string
}

// String is the warning as a sentence that begins with its nodes.
func (w Warning) String() string {
	text := prose.Sentence(w.Text)
	if w.Code == mesh.WarnOverlay && len(w.Nodes) == 1 {
		return text // mesh.Reach names the node
	}
	return Named(w.Nodes) + ": " + text
}

// TrafficWarnings says what keeps traffic from flowing and no apply can repair, as
// the nodes that answered know it. It is not drift and never plans an update.
// Nodes that say the same are one warning. The result is sorted by code, nodes and
// text, so that an unchanged cluster says the same in every snapshot.
func (s *Snapshot) TrafficWarnings() []Warning {
	by := map[string][]mesh.Warning{"": s.reachable(s.OverlayWarnings())}
	for name, v := range s.Nodes {
		if v.Status == nil {
			continue
		}
		if v.Status.SelfTest == nil { // an agent that tests nothing by itself
			by[name] = s.reachable(v.Status.Warnings)
			continue
		}
		by[name] = slices.DeleteFunc(slices.Clone(v.Status.Warnings), func(w mesh.Warning) bool { return w.Code == mesh.WarnOverlay })
	}
	return groupWarnings(by)
}

// reachable leaves out what is said of the overlay to a node that cannot be asked
// either: that its host does not answer is said already.
func (s *Snapshot) reachable(warnings []mesh.Warning) []mesh.Warning {
	return slices.DeleteFunc(slices.Clone(warnings), func(w mesh.Warning) bool {
		about := atFault(w.Object)
		if w.Code != mesh.WarnOverlay || len(about) == 0 {
			return false
		}
		v, known := s.Nodes[about[0]]
		return known && v.Status == nil
	})
}

// groupWarnings makes one warning of what several nodes (the keys) say alike. It is
// about the nodes that say it, whatever its object; one of the overlay is about the
// node at fault, which others may report.
func groupWarnings(by map[string][]mesh.Warning) []Warning {
	type same struct {
		code mesh.WarningCode
		text string
	}
	nodes := map[same][]string{}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		for _, w := range by[name] {
			key, about := same{w.Code, w.Text}, []string{name}
			if w.Code == mesh.WarnOverlay {
				about = atFault(w.Object)
			}
			nodes[key] = slices.Compact(slices.Sorted(slices.Values(append(nodes[key], about...))))
		}
	}
	var all []Warning
	for key, names := range nodes {
		all = append(all, Warning{Code: key.code, Nodes: names, Text: key.text})
	}
	slices.SortFunc(all, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), slices.Compare(a.Nodes, b.Nodes), cmp.Compare(a.Text, b.Text))
	})
	return all
}

// atFault is the node that a warning of the overlay is about, none where every pair
// of nodes fails alike.
func atFault(o mesh.Ref) []string {
	if o.Kind == mesh.KindNode {
		return []string{o.Name}
	}
	return nil
}

// maxNamed is the most nodes that a sentence names.
const maxNamed = 4

// Named is "node n1", "nodes n1 and n2", "nodes n1, n2 and 97 others", or "all nodes".
func Named(nodes []string) string {
	switch n := len(nodes); {
	case n == 0:
		return "all nodes"
	case n == 1:
		return mesh.NodeRef(nodes[0]).Words()
	case n > maxNamed:
		return fmt.Sprintf("nodes %s and %d others", strings.Join(nodes[:2], ", "), n-2)
	}
	return "nodes " + and(nodes)
}

// newWarnings lists what the members say after the commit and did not say before
// it, by node. What mesh.Reach has said of a join (reach) is not repeated.
func newWarnings(sent []answer, reach []Notice) map[string][]mesh.Warning {
	fresh := map[string][]mesh.Warning{}
	for _, a := range sent {
		if a.err != nil || a.node == "" {
			continue
		}
		for _, w := range a.warnings {
			if !a.warnedBefore(w) && !saidOf(reach, w) {
				fresh[a.node] = append(fresh[a.node], w)
			}
		}
	}
	return fresh
}

// saidOf says that what has been found of a join covers the warning: it is about the
// overlay of the same node, and found with less knowledge.
func saidOf(reach []Notice, w mesh.Warning) bool {
	return w.Code == mesh.WarnOverlay && slices.ContainsFunc(reach, func(n Notice) bool { return n.About == w.Object && n.Code != mesh.ProblemNotProbed })
}

// warnedBefore says that the member had the warning before the commit, so that the
// plan has said it. What a host said before it joined is new to its node.
func (a *answer) warnedBefore(w mesh.Warning) bool {
	s := a.view.Status
	return s != nil && s.Node == a.node && slices.ContainsFunc(s.Warnings, func(before mesh.Warning) bool {
		return before.Code == w.Code && before.Text == w.Text
	})
}

// warningsFor is the part of the new warnings that an operation is told. A node
// that joins tells its own to its join alone, so that they are said at that
// resource.
func warningsFor(op *operation, fresh map[string][]mesh.Warning, joining map[string]*operation) []Warning {
	mine := map[string][]mesh.Warning{}
	for node, warnings := range fresh {
		if join := joining[node]; join == nil || join == op {
			mine[node] = warnings
		}
	}
	return groupWarnings(mine)
}

// joining has the operations that bring a node in with this commit, by node.
func (p *proposal) joining() map[string]*operation {
	joins := map[string]*operation{}
	for _, op := range p.ops {
		if op.join != nil {
			joins[op.join.node] = op
		}
	}
	return joins
}
