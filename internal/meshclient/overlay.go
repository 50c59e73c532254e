package meshclient

import "github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"

// OverlayWarnings says which nodes do not reach each other over the overlay, in
// which direction and why, by what all nodes that answer have found by themselves:
// one sentence per cause. The overlay's warnings of single nodes say the same with
// less knowledge, so whoever shows these leaves those out.
func (s *Snapshot) OverlayWarnings() []mesh.Warning {
	if s.Record == nil {
		return nil
	}
	reports := map[string]*mesh.ProbeResponse{}
	failing, all := false, map[mesh.Ref]bool{}
	for name, view := range s.Nodes {
		if view.Status == nil || view.Status.SelfTest == nil {
			continue
		}
		reports[name] = &mesh.ProbeResponse{Peers: view.Status.Overlay}
		failing = failing || len(view.Status.Overlay) > 0
		for _, w := range view.Status.Warnings {
			if w.Code == mesh.WarnOverlay && w.AllTraffic {
				all[mesh.NodeRef(name)] = true
			}
		}
	}
	if !failing {
		return nil
	}
	var warnings []mesh.Warning
	for _, p := range mesh.Reach(s.Record, reports) {
		warnings = append(warnings, mesh.Warning{Code: mesh.WarnOverlay, Object: p.Object, Text: p.Text, AllTraffic: all[p.Object]})
	}
	mesh.SortWarnings(warnings)
	return warnings
}
