package provider

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// Limits of what one walk says of traffic, whatever the number of nodes.
const (
	maxTrafficWarnings = 10 // diagnostics
	maxSentences       = 5  // in one of them
)

const noApplyRepairs = "No apply can repair this: the cause is not part of the mesh."

// warnTraffic says once in a walk what keeps traffic from flowing: of a plan that
// says "No changes" nothing else would show it. snap is nil where there is nothing
// to say.
func (d *providerData) warnTraffic(diags *diag.Diagnostics, snap *meshclient.Snapshot) {
	if snap == nil || !d.first("traffic") {
		return
	}
	all := snap.TrafficWarnings()
	for _, w := range all {
		d.first(trafficKind(w)) // an apply in the same walk does not repeat it
	}
	addTraffic(diags, all, trafficSummary, "routingmesh-agent status on the nodes shows all of them.")
}

// addNewTraffic says what an apply has brought to light. A commit that several
// resources share says it to the first of them; joined is the node that the
// resource has brought in, "" for none.
func (b *base) addNewTraffic(diags *diag.Diagnostics, res *meshclient.Result, joined string) {
	if res == nil {
		return
	}
	var fresh []meshclient.Warning
	for _, w := range res.Traffic {
		if b.data.first(trafficKind(w)) {
			fresh = append(fresh, w)
		}
	}
	addTraffic(diags, fresh, func(w meshclient.Warning) string {
		if len(w.Nodes) == 1 && w.Nodes[0] == joined {
			return fmt.Sprintf("Node %s has joined, but not whole", joined)
		}
		return trafficSummary(w)
	}, "terraform plan shows all of them.")
}

// trafficKind is the identity of a warning, for first.
func trafficKind(w meshclient.Warning) string {
	return fmt.Sprintf("traffic %s %v %s", w.Code, w.Nodes, w.Text)
}

// addTraffic makes one diagnostic of all warnings of one summary: Terraform shows
// only the first of several warnings that have the same one.
func addTraffic(diags *diag.Diagnostics, all []meshclient.Warning, summaryOf func(meshclient.Warning) string, rest string) {
	var order []string
	by := map[string][]meshclient.Warning{}
	for _, w := range all {
		summary := summaryOf(w)
		if by[summary] == nil {
			order = append(order, summary)
		}
		by[summary] = append(by[summary], w)
	}
	for i, summary := range order {
		if left := len(order) - i; i == maxTrafficWarnings-1 && left > 1 {
			diags.AddWarning(fmt.Sprintf("Traffic: %d more warnings", left), "They are of other nodes or have other causes. "+rest)
			return
		}
		diags.AddWarning(summary, trafficDetail(by[summary], rest))
	}
}

// trafficDetail has a sentence for each warning, the node in front of it.
func trafficDetail(warnings []meshclient.Warning, rest string) string {
	var lines []string
	for i, w := range warnings {
		if left := len(warnings) - i; i == maxSentences-1 && left > 1 {
			lines = append(lines, fmt.Sprintf("… and %d more: %s", left, rest))
			break
		}
		lines = append(lines, w.String())
	}
	return strings.Join(append(lines, noApplyRepairs), "\n\n")
}

// trafficSummary says in plain words what is wrong, and on which nodes.
func trafficSummary(w meshclient.Warning) string {
	at := meshclient.Named(w.Nodes)
	switch w.Code {
	case mesh.WarnPath:
		return "Traffic does not flow on " + at
	case mesh.WarnOverlay:
		return "Overlay: traffic from or to " + at + " is lost"
	case mesh.WarnFirewall:
		return "A firewall drops the mesh's packets on " + at
	case mesh.WarnHost:
		return "Host settings keep traffic from flowing on " + at
	case mesh.WarnContainers:
		return "Endpoints have no container on " + at
	case mesh.WarnNames:
		return "Members of networks do not find names on " + at
	}
	return "Traffic may not flow on " + at
}

// trafficSentences is what the data source has.
func trafficSentences(snap *meshclient.Snapshot) []string {
	all := []string{}
	for _, w := range snap.TrafficWarnings() {
		all = append(all, w.String())
	}
	return all
}
