package provider

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// What an update does, in the words of subject.doing.
const repairing = "repairing"

func changing(changed bool) string {
	if changed {
		return "changing"
	}
	return repairing
}

const triedAgain = "What is missing is in drift: terraform plan shows it, and terraform apply tries again."

// addChanged ends an update, and tells whether it failed with nothing to keep:
// what is in the record is in the state, too, even if some node lacks it.
func addChanged(diags *diag.Diagnostics, s subject, err error) (failed bool) {
	addError(diags, s, err)
	return err != nil && !committed(err)
}

// addCreated ends a creation as addChanged does. What some node lacks is only
// a warning: of an error Terraform would replace what works on the others.
func addCreated(diags *diag.Diagnostics, s subject, err error) (failed bool) {
	var problems *meshclient.ProblemsError
	if !errors.As(err, &problems) || !problems.Committed {
		return addChanged(diags, s, err)
	}
	if problems.Unknown {
		diags.AddWarning("No node confirmed "+s.what, lines(problems)+"\n\nIt is kept in the state as created: the next plan shows what came of it.")
		return false
	}
	for _, p := range problems.Problems {
		summary, after := fmt.Sprintf("Node %s lacks %s", p.Node, s.what), "It is created all the same, and works on the other nodes. "+triedAgain
		if s.object == mesh.NodeRef(p.Node) {
			summary, after = fmt.Sprintf("Node %s has joined, but not whole", p.Node), triedAgain
		}
		diags.AddWarning(summary, sentence(p.Text)+" "+after)
	}
	return false
}

// lines has one sentence for each problem.
func lines(problems *meshclient.ProblemsError) string { return strings.Join(sentences(problems), "\n") }

// sentences are drift's: they begin with the node.
func sentences(problems *meshclient.ProblemsError) []string {
	all := make([]string, 0, len(problems.Problems))
	for _, p := range problems.Problems {
		all = append(all, mesh.NodeRef(p.Node).Words()+": "+sentence(p.Text))
	}
	return all
}

// committed tells whether the change is in the record in spite of err: then
// what was created is in the state, too. Every other error comes before.
func committed(err error) bool {
	var problems *meshclient.ProblemsError
	return errors.As(err, &problems) && problems.Committed
}

// addWarnings shows what went through, but not everywhere; res may be nil. A
// commit that several resources share says it to each of them.
func (b *base) addWarnings(diags *diag.Diagnostics, res *meshclient.Result) {
	if res == nil {
		return
	}
	for _, w := range res.Warnings {
		kind, summary := w.Text, "Applied; something needs attention"
		if behind(w) {
			kind, summary = silent(w.About), fmt.Sprintf("Applied; node %s is behind", w.About.Name)
		}
		if b.data.first(kind) {
			diags.AddWarning(summary, sentence(w.Text))
		}
	}
	b.addNewTraffic(diags, res, "")
}

// behind says that the notice is of a node that a commit went without. Its text
// names a generation and the kernel's words, which differ from commit to commit.
func behind(n meshclient.Notice) bool {
	return n.About.Kind == mesh.KindNode && (n.Code == mesh.ProblemUnreachable || n.Code == mesh.ProblemLagging)
}

// silent is the kind of warning that a node or host does not take part.
func silent(who mesh.Ref) string { return "silent " + who.String() }

// warnSilent says once that a node cannot be asked.
func (d *providerData) warnSilent(diags *diag.Diagnostics, node string, why error) {
	if asType[*agentapi.NoAgentError](why) || !d.first(silent(mesh.NodeRef(node))) {
		return // a node without an agent is drift, and repaired by an apply
	}
	advice := "If it is gone for good: set force_remove = true on it and apply, then remove it."
	if asType[*sshdial.HostKeyError](why) {
		advice = "If it was set up anew: set force_remove = true on it and apply, then apply with -replace of it."
	}
	diags.AddWarning(fmt.Sprintf("Node %s cannot be read", node), sentence(why.Error())+
		"\n\nThe other nodes go on without it, its state is kept, and changes of the cluster reach it with the first apply after it is back. "+advice)
}

// warnKeepers says of each host that is no node, and only keeps the record, that
// it cannot be asked.
func (d *providerData) warnKeepers(diags *diag.Diagnostics, snap *meshclient.Snapshot) {
	for _, entry := range slices.Sorted(maps.Keys(snap.Hosts)) {
		if v := snap.Hosts[entry]; v.Node == "" && cannotBeAsked(v.Err) && d.first(silent(mesh.HostRef(entry))) {
			diags.AddWarning(fmt.Sprintf("Host %s cannot be read", entry), sentence(v.Err.Error())+
				" It keeps the record that it last had. Changes go on for as long as more than half of the cluster's voters answer.")
		}
	}
}

// cannotBeAsked tells whether err is that nobody is let in, so that neither an
// answer nor an apply is to be expected.
func cannotBeAsked(err error) bool {
	return asType[*sshdial.UnreachableError](err) || asType[*sshdial.AuthError](err) ||
		asType[*sshdial.HostKeyError](err) || asType[*sshdial.SudoError](err) ||
		asType[*sshdial.LoginError](err) || asType[*sshdial.SessionsError](err)
}

func asType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
