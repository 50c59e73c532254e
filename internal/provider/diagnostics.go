package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// subject is what a diagnostic is about.
type subject struct {
	// doing and what say what happened to what: "creating", "the node demo/n1".
	// While planning, doing is "".
	doing, what string
	// object is the resource's own part of the record; only problems of it can
	// point at an attribute.
	object mesh.Ref
	// attributes are those of the resource's schema.
	attributes []string
	// note is what an error leaves behind, "" for nothing.
	note string
}

// addError turns an error of mesh or meshclient into diagnostics. Summaries
// are stable, so that they can be searched for; details say what, where, why
// and what to do.
func addError(diags *diag.Diagnostics, s subject, err error) {
	if err == nil {
		return
	}
	if drained, ok := errors.AsType[*meshclient.DrainedError](err); ok {
		s.note, err = drained.Consequence(), drained.Err
	}
	var broken *mesh.Error
	var problems *meshclient.ProblemsError
	switch {
	case errors.As(err, &broken):
		s.add(diags, broken.Object, broken.Attribute, ruleSummary(broken), broken.Detail)
	case errors.As(err, &problems):
		s.addProblems(diags, problems)
	default:
		summary, detail := explain(err)
		s.add(diags, mesh.Ref{}, "", summary, detail)
	}
}

// add points at the attribute where it is one of this resource.
func (s subject) add(diags *diag.Diagnostics, object mesh.Ref, attribute, summary, detail string) {
	detail = sentence(detail)
	if s.note != "" {
		detail += "\n\n" + s.note
	}
	if s.doing != "" {
		detail += "\n\nThis happened while " + s.doing + " " + s.what + "."
	}
	if slices.Contains(s.attributes, attribute) && (object.IsZero() || s.object.IsZero() || sameObject(object, s.object)) {
		diags.AddAttributeError(path.Root(attribute), summary, detail)
		return
	}
	diags.AddError(summary, detail)
}

// sameObject takes ports of one number for one: a subject does not know which of them it is.
func sameObject(a, b mesh.Ref) bool {
	k, isPort := a.PortKey()
	o, both := b.PortKey()
	return a == b || isPort && both && k.Plain() == o.Plain()
}

func (s subject) addProblems(diags *diag.Diagnostics, e *meshclient.ProblemsError) {
	if e.Unknown {
		s.add(diags, mesh.Ref{}, "", "No node confirmed the change", lines(e))
		return
	}
	summary, after := "Node %s refused the change", "Nothing was changed on any node."
	switch {
	case e.Committed && s.doing == repairing:
		summary, after = "Node %s could not be repaired", "It stays in drift, and the next apply tries again."
	case e.Committed:
		summary, after = "Node %s did not take the change", "The change is in the cluster's record, and the other nodes have it. "+triedAgain
	}
	for _, p := range e.Problems {
		s.add(diags, p.Object, p.Attribute, fmt.Sprintf(summary, p.Node), sentence(p.Text)+" "+after)
	}
}

// ruleSummary names the kind of rule; the attribute tells most of them apart.
func ruleSummary(e *mesh.Error) string {
	if e.Summary != "" {
		return e.Summary
	}
	if s := map[mesh.RefKind]map[string]string{
		mesh.KindCluster: {"address_pool": "Invalid address pool", "node_prefix_length": "Invalid node prefix length"},
		mesh.KindNode:    {"address": "Node address cannot be used", "cluster_id": "Address pool too small", "ssh": "Invalid ssh of the node"},
		mesh.KindService: {"endpoints": "Invalid endpoints", "networks": "Networks of the service cannot be used", "vip_ports": "Invalid ports of the VIP"},
		mesh.KindPort:    {"published_port": "Published port not available", "service_id": "Unknown service"},
	}[e.Object.Kind][e.Attribute]; s != "" {
		return s
	}
	noun := map[mesh.RefKind]string{mesh.KindNode: "node", mesh.KindService: "service", mesh.KindPort: "published port", mesh.KindNetwork: "network"}[e.Object.Kind]
	if noun == "" {
		noun = "cluster"
	}
	if e.Attribute == "" {
		return "Change of the " + noun + " not possible"
	}
	return fmt.Sprintf("Invalid %s of the %s", strings.ReplaceAll(e.Attribute, "_", " "), noun)
}

// explain finds summary and detail for what went wrong on the way to a node.
func explain(err error) (summary, detail string) {
	var hosts *meshclient.HostsError
	if errors.As(err, &hosts) && len(hosts.Hosts) > 1 {
		return "Too few hosts answer", sentence(err.Error()) + " What Terraform knows is kept as it is."
	}
	var (
		auth        *sshdial.AuthError
		hostKey     *sshdial.HostKeyError
		unreachable *sshdial.UnreachableError
		noAgent     *agentapi.NoAgentError
		leave       *meshclient.LeaveError
		foreign     *meshclient.ForeignError
		busy        *meshclient.BusyError
		down        *agentapi.AgentDownError
		sudo        *sshdial.SudoError
		login       *sshdial.LoginError
		sessions    *sshdial.SessionsError
		version     *agentapi.VersionError
		other       *otherClusterError
		lost        *meshclient.LostError
	)
	switch {
	case errors.As(err, &lost):
		return lostSummary, sentence(err.Error())
	case asType[*meshclient.TwinHostsError](err):
		return "One host is listed twice", sentence(err.Error())
	case errors.Is(err, errStillLost):
		return lostSummary, sentence(err.Error())
	case errors.As(err, &leave):
		return "Node " + leave.Node + " cannot be removed", sentence(err.Error())
	case errors.As(err, &auth):
		return "Cannot log in to " + auth.Address, sentence(err.Error())
	case errors.As(err, &hostKey):
		return "Host key of " + hostKey.Address + " refused", sentence(err.Error())
	case errors.As(err, &unreachable):
		return "Cannot reach " + unreachable.Address, sentence(err.Error()) + " What Terraform knows is kept as it is."
	case errors.As(err, &noAgent):
		return "No agent on " + noAgent.Address, sentence(err.Error()) +
			" If the host was reinstalled, terraform apply -replace=ADDRESS installs the agent again; terraform state list shows the ADDRESS of its routingmesh_node."
	case errors.As(err, &down):
		return "Agent does not run on " + down.Address, sentence(err.Error())
	case errors.As(err, &sudo):
		return "Cannot become root on " + sudo.Address, sentence(err.Error())
	case errors.As(err, &login):
		return "Cannot run commands on " + login.Address, sentence(err.Error())
	case errors.As(err, &sessions):
		return "No session on " + sessions.Address, sentence(err.Error())
	case errors.As(err, &version):
		return "Agent of another version on " + version.Address, sentence(err.Error())
	case errors.As(err, &foreign):
		return "Host belongs to another cluster", sentence(err.Error())
	case errors.As(err, &busy):
		return "Another change is under way", sentence(err.Error())
	case errors.As(err, &other):
		return "Hosts of another cluster", fmt.Sprintf(
			"The provider's hosts hold the cluster %q, but this resource belongs to the cluster %q. It is kept in the state: the cluster may be well, elsewhere. "+
				"Name the hosts of %q in the provider block (or use a second provider configuration with an alias).", other.have, other.want, other.want)
	case errors.Is(err, errNoHosts):
		return "Hosts not known yet", sentence(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return "Timed out", "It took longer than its timeout. What was under way may still come through: the next plan shows it. " +
			"The resource's timeouts attribute gives it more time. (" + err.Error() + ")"
	case errors.Is(err, context.Canceled):
		return "Interrupted", "Terraform was interrupted. A change that was under way is brought to its end by the nodes: the next plan shows it. (" + err.Error() + ")"
	}
	return "Unexpected error", unexpected(err)
}

// unexpected is for an error that has no words of its own.
func unexpected(err error) string {
	return sentence(err.Error()) + "\n\nThis should not happen. Please report it at https://github.com/routingmesh/terraform-provider-routingmesh/issues, with the output of the same command with TF_LOG=debug."
}

const lostSummary = "Hosts without the cluster's record"

// addConfigError points at the attribute of the provider block.
func addConfigError(diags *diag.Diagnostics, err error) {
	var cfg *sshdial.ConfigError
	if !errors.As(err, &cfg) {
		diags.AddError("Invalid provider configuration", sentence(err.Error()))
		return
	}
	at := path.Root("ssh").AtName(strings.ReplaceAll(cfg.Attribute, ".", "_"))
	if cfg.Attribute == "hosts" {
		at = path.Root("hosts")
	}
	diags.AddAttributeError(at, "Invalid provider configuration", sentence(cfg.Detail))
}
