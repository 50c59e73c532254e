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
	next, r := a.admit(req)
	if r != nil {
		refuse(w, r)
		return
	}
	node := req.Node
	if node == "" {
		node = a.node
	}
	if next.Nodes[node] == nil {
		node = ""
	}
	if req.Vote && a.host.diskFull {
		refuse(w, &mesh.Refusal{Code: mesh.Failed,
			Text: "The node could not keep what it promises, and changed nothing: no space left on device. Is its disk full or read-only?"})
		return
	}
	if req.Vote {
		a.promise = mesh.Promise{Generation: next.Generation, Holder: req.Holder}
	}
	a.lease = lease{req.Holder, time.Now().Add(mesh.LeaseTTL), next, node}
	answer(w, mesh.PrepareResponse{Problems: problems(a.host.prepared, next)})
}

func (a *agent) admit(req mesh.PrepareRequest) (*mesh.Record, *mesh.Refusal) {
	own, ownHash := a.record, ""
	if own != nil {
		ownHash = own.Hash()
	}
	if left := time.Until(a.lease.expires); a.lease.holder != "" && a.lease.holder != req.Holder && left > 0 {
		return nil, &mesh.Refusal{Code: mesh.Busy, Text: "Another writer holds the lease.", RetryAfterMillis: left.Milliseconds()}
	}
	if req.Change != nil && a.host.unchanging {
		return nil, &mesh.Refusal{Code: mesh.Failed, Text: `The request is not what this agent understands: unknown field "change".`}
	}
	proposed, known, err := req.Proposed(own, ownHash)
	if err != nil {
		return nil, &mesh.Refusal{Code: mesh.Failed, Text: err.Error()}
	}
	next := proposed.Record
	stale := func(text string) (*mesh.Record, *mesh.Refusal) {
		r := &mesh.Refusal{Code: mesh.Stale, Text: text, Hash: ownHash, Promised: a.promise.Generation}
		if own != nil {
			r.Generation = own.Generation
		}
		return nil, r
	}
	switch {
	case !known:
		return stale("The change was made to another record.")
	case own == nil:
	case own.UID != next.UID:
		return nil, &mesh.Refusal{Code: mesh.Foreign, Text: fmt.Sprintf("This host belongs to the cluster %q.", own.Cluster.Name)}
	case a.node != "" && req.Node != "" && a.node != req.Node && next.Nodes[a.node] != nil:
		return nil, &mesh.Refusal{Code: mesh.Foreign, Text: fmt.Sprintf("This host is already node %s of the cluster.", a.node)}
	}
	if why := req.OutOfOrder(own, ownHash, next); why != "" {
		return stale(why)
	}
	if req.Vote && a.promise.Refuses(next.Generation, req.Holder) {
		return stale("The node has promised the generation to another writer.")
	}
	return next, nil
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
