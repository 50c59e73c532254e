package meshclient

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("meshclient: the client is closed")

// NodeProblem is a problem on one node.
type NodeProblem struct {
	// Node is the node's name, or the host's address where it is no node.
	Node string
	mesh.Problem
}

// ProblemsError says what nodes object to, or did not take.
type ProblemsError struct {
	Problems []NodeProblem
	// Committed tells "refused, nothing was changed" (false) from "in the
	// record, and not applied on these nodes" (true).
	Committed bool
	// Unknown is set beside Committed when the commit was sent and it is not known
	// that a majority of the voters took it: the change may be in the record.
	Unknown bool
}

func (e *ProblemsError) Error() string {
	head := "Nothing was changed, because of:"
	if e.Committed {
		head = "The change is in the record, and these nodes do not have it yet:"
	}
	if e.Unknown {
		head = "The change was sent, and may be in the record. Run the apply again: it starts from what the nodes then have."
	}
	lines := []string{head}
	for _, p := range e.Problems {
		lines = append(lines, mesh.NodeRef(p.Node).Words()+": "+p.Text)
	}
	return strings.Join(lines, "\n")
}

func outcomeUnknown(err error) bool {
	e, ok := errors.AsType[*ProblemsError](err)
	return ok && e.Unknown
}

// LeaveError is a node whose host cannot be asked to leave; nothing was
// changed. The reason can be found with errors.As.
type LeaveError struct {
	Node string
	Err  error
}

func (e *LeaveError) Error() string {
	return fmt.Sprintf("Node %s was not removed, and nothing was changed: its host must be cleaned, and cannot be asked. %s\n"+
		"Bring it back, or, if it is gone for good, set force_remove = true on the node, apply that, and remove it again: the node is then taken out of "+
		"the cluster, and its host left as it is.", e.Node, prose.Sentence(e.Err.Error()))
}

func (e *LeaveError) Unwrap() error { return e.Err }

// ForeignError is a host that belongs to another cluster, or is already
// another node of this one.
type ForeignError struct {
	Host    string // as configured
	Cluster string // "" when only the agent knows (see Text)
	UID     string
	Text    string // what the agent said, "" when not asked
}

func (e *ForeignError) Error() string {
	if e.Cluster == "" {
		return fmt.Sprintf("host %s cannot take part: %s", e.Host, e.Text)
	}
	return fmt.Sprintf("host %s already belongs to cluster %s (uid %s): import that cluster (terraform import), "+
		"or, if nothing uses it any more, run `routingmesh-agent uninstall` on the host", e.Host, e.Cluster, e.UID)
}

// BusyError is another writer that did not finish while this one could wait.
type BusyError struct {
	Waited time.Duration
	Text   string // what the agent said
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("another writer holds the cluster's lease and did not give it back within %s: %s "+
		"Wait for the other Terraform run to end, then run again; a writer that died lets go after %s.",
		e.Waited.Round(100*time.Millisecond), prose.Sentence(e.Text), mesh.LeaseTTL)
}

func asUnreachable(err error) (*sshdial.UnreachableError, bool) {
	return errors.AsType[*sshdial.UnreachableError](err)
}

// HostFailure is why one host or node did not answer or did not agree.
type HostFailure struct {
	Host string // as configured; "node n2" for one that is no host of the provider
	Err  error
}

// HostsError says that too few of the hosts or nodes could be heard. Each
// host's own error can be found with errors.As.
type HostsError struct {
	Detail string
	Hosts  []HostFailure
}

func (e *HostsError) Error() string {
	lines := []string{e.Detail}
	for _, h := range e.Hosts {
		lines = append(lines, fmt.Sprintf("%s: %v", h.Host, h.Err))
	}
	return strings.Join(lines, "\n")
}

func (e *HostsError) Unwrap() []error {
	errs := make([]error, 0, len(e.Hosts))
	for _, h := range e.Hosts {
		errs = append(errs, h.Err)
	}
	return errs
}
