package meshtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// agent keeps the rules of the real one: a lease, no stale or foreign record,
// no commit that was not prepared. Guarded by its node's mu.
type agent struct {
	host    *Node
	version string
	api     int
	sha256  string
	node    string
	record  *mesh.Record
	applied uint64
	lease   lease
}

type lease struct {
	holder  string
	expires time.Time
	next    *mesh.Record
	node    string
}

func newAgent(n *Node, sum string) *agent {
	return &agent{host: n, version: "test", api: mesh.APIVersion, sha256: sum}
}

// serve answers one call of the API.
func (n *Node) serve(w http.ResponseWriter, r Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.agent
	if a == nil {
		refuse(w, &mesh.Refusal{Code: mesh.Failed, Text: "the agent was removed while it was called"})
		return
	}
	switch r.Method + " " + r.Path {
	case "GET " + mesh.PathStatus:
		answer(w, a.status(r.Query))
	case "POST " + mesh.PathPrepare:
		var req mesh.PrepareRequest
		if decode(w, r, &req) {
			a.prepare(w, req)
		}
	case "POST " + mesh.PathCommit:
		var req mesh.CommitRequest
		if decode(w, r, &req) {
			a.commit(w, req)
		}
	case "POST " + mesh.PathAbort:
		var req mesh.AbortRequest
		if decode(w, r, &req) {
			if a.lease.holder == req.Holder {
				a.lease = lease{}
			}
			w.WriteHeader(http.StatusNoContent)
		}
	default:
		refuse(w, &mesh.Refusal{Code: mesh.Failed, Text: "no such path"})
	}
}

func (a *agent) status(query string) mesh.Status {
	s := mesh.Status{
		API: a.api, Version: a.version, BinarySHA256: a.sha256, Node: a.node, Problems: []mesh.Problem{},
		Host: mesh.HostFacts{
			Hostname: a.host.Name, KernelRelease: "6.1.0-test", Arch: "amd64",
			Interfaces: []mesh.Interface{
				{Name: "lo", MTU: 65536, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
				{Name: "eth0", MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(a.host.Address, 24)}},
			},
		},
		AppliedGeneration: a.applied,
	}
	if a.record != nil {
		s.Generation, s.Hash = a.record.Generation, a.record.Hash()
		s.Problems = problems(a.host.committed, a.record)
		if query != "known="+s.Hash {
			s.Record = a.record
		}
	}
	return s
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

func (a *agent) commit(w http.ResponseWriter, req mesh.CommitRequest) {
	l := a.lease
	if l.holder == "" || l.holder != req.Holder || l.next.Generation != req.Generation || l.next.Hash() != req.Hash {
		refuse(w, &mesh.Refusal{Code: mesh.NotPrepared, Text: "The node has no such prepared commit."})
		return
	}
	a.record, a.node, a.lease = l.next, l.node, lease{}
	found := problems(a.host.committed, a.record)
	if len(found) == 0 {
		a.applied = a.record.Generation
	}
	answer(w, mesh.CommitResponse{Problems: found})
}

func problems(f func(*mesh.Record) []mesh.Problem, r *mesh.Record) []mesh.Problem {
	found := []mesh.Problem{}
	if f != nil {
		found = append(found, f(r)...)
	}
	return found
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

func decode(w http.ResponseWriter, r Request, into any) bool {
	if err := json.Unmarshal(r.Body, into); err != nil {
		refuse(w, &mesh.Refusal{Code: mesh.Failed, Text: err.Error()})
		return false
	}
	return true
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // into a recorder, which takes everything
}

func refuse(w http.ResponseWriter, r *mesh.Refusal) {
	w.WriteHeader(http.StatusConflict)
	answer(w, r)
}
