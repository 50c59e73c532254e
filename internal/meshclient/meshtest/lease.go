package meshtest

import (
	"fmt"
	"net/http"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// lease is the right of one writer to commit what it has prepared.
type lease struct {
	holder  string
	expires time.Time
	next    *mesh.Record
	node    string
}

func (a *agent) prepare(w http.ResponseWriter, req mesh.PrepareRequest) {
	if r := a.admit(req); r != nil {
		refuse(w, r)
		return
	}
	node := req.Node
	if node == "" {
		node = a.node
	}
	if req.Record.Nodes[node] == nil {
		node = ""
	}
	a.lease = lease{req.Holder, time.Now().Add(mesh.LeaseTTL), req.Record, node}
	answer(w, mesh.PrepareResponse{Problems: problems(a.host.prepared, req.Record)})
}

func (a *agent) admit(req mesh.PrepareRequest) *mesh.Refusal {
	next, own := req.Record, a.record
	if left := time.Until(a.lease.expires); a.lease.holder != "" && a.lease.holder != req.Holder && left > 0 {
		return &mesh.Refusal{Code: mesh.Busy, Text: "Another writer holds the lease.", RetryAfterMillis: left.Milliseconds()}
	}
	if err := next.Validate(); err != nil {
		return &mesh.Refusal{Code: mesh.Failed, Text: err.Error()}
	}
	if own == nil {
		return nil
	}
	stale := func(text string) *mesh.Refusal {
		return &mesh.Refusal{Code: mesh.Stale, Text: text, Generation: own.Generation, Hash: own.Hash()}
	}
	switch {
	case own.UID != next.UID:
		return &mesh.Refusal{Code: mesh.Foreign, Text: fmt.Sprintf("This host belongs to the cluster %q.", own.Cluster.Name)}
	case a.node != "" && req.Node != "" && a.node != req.Node && next.Nodes[a.node] != nil:
		return &mesh.Refusal{Code: mesh.Foreign, Text: fmt.Sprintf("This host is already node %s of the cluster.", a.node)}
	case next.Generation <= own.Generation:
		return stale("The node's record is as new.")
	case next.Generation == own.Generation+1 && next.Parent != own.Hash():
		return stale("The cluster has forked.")
	}
	return nil
}

// HoldLease makes the host busy for other writers than holder, for d.
func (n *Node) HoldLease(holder string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.agent.lease = lease{holder: holder, expires: time.Now().Add(d), next: &mesh.Record{}}
}

// DropLease makes the agent forget what was prepared, as a restart does.
func (n *Node) DropLease() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.agent.lease = lease{}
}

// Leased names the holder of the lease, "" for none.
func (n *Node) Leased() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.agent == nil || time.Now().After(n.agent.lease.expires) {
		return ""
	}
	return n.agent.lease.holder
}
