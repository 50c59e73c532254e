package meshtest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
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
	// instance is as mesh.Status has it, of this installation.
	instance string
	node     string
	record   *mesh.Record
	applied  uint64
	lease    lease
	promise  mesh.Promise
}

func newAgent(n *Node, sum string) *agent {
	return &agent{host: n, version: "test", api: mesh.APIVersion, sha256: sum, instance: rand.Text()}
}

// serve answers one call of the API, and tells whether it did: an agent that has been
// removed since the call came says nothing. halfway leaves a commit between the record
// on disk and the kernel.
func (n *Node) serve(w http.ResponseWriter, r Request, halfway bool) (answered bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.agent
	if a == nil {
		return false
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
			a.commit(w, req, halfway)
		}
	case "POST " + mesh.PathAbort:
		var req mesh.AbortRequest
		if decode(w, r, &req) {
			if a.lease.holder == req.Holder {
				a.lease = lease{}
			}
			w.WriteHeader(http.StatusNoContent)
		}
	case "POST " + mesh.PathRepair:
		var req mesh.RepairRequest
		if decode(w, r, &req) {
			answer(w, a.repair(req))
		}
	case "POST " + mesh.PathProbe:
		var req mesh.ProbeRequest
		if decode(w, r, &req) {
			a.probe(w, req)
		}
	case "GET " + mesh.PathDrains:
		answer(w, n.takeDrains())
	case "GET " + mesh.PathCounters:
		answer(w, n.counters)
	default:
		refuse(w, &mesh.Refusal{Code: mesh.Failed, Text: "no such path"})
	}
	return true
}

func (a *agent) status(query string) mesh.Status {
	s := mesh.Status{
		API: a.api, Version: a.version, BinarySHA256: a.sha256, Instance: a.instance, Node: a.node, Problems: []mesh.Problem{},
		Host: mesh.HostFacts{
			Hostname: a.host.Name, KernelRelease: "6.1.0-test", Arch: "amd64",
			Interfaces: []mesh.Interface{
				{Name: "lo", MTU: 65536, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
				{Name: "eth0", MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(a.host.Address, 24)}},
			},
		},
		Promised: a.promise.Generation, AppliedGeneration: a.applied, Repairs: a.host.repairs, Unhealthy: a.host.unhealthy,
		Warnings: a.host.warnings,
	}
	if a.record != nil {
		s.Generation, s.Hash = a.record.Generation, a.record.Hash()
		s.Problems = a.problems()
		if query != "known="+s.Hash {
			s.Record = a.record
		}
	}
	return s
}

func (a *agent) commit(w http.ResponseWriter, req mesh.CommitRequest, halfway bool) {
	l := a.lease
	if l.holder == "" || l.holder != req.Holder || time.Now().After(l.expires) || l.next.Generation != req.Generation || l.next.Hash() != req.Hash {
		refuse(w, &mesh.Refusal{Code: mesh.NotPrepared, Text: "The node has no such prepared commit."})
		return
	}
	if a.host.diskFull {
		refuse(w, &mesh.Refusal{Code: mesh.Failed,
			Text: "The node could not keep the record, and changed nothing: no space left on device. Is its disk full or read-only?"})
		return
	}
	a.record, a.node, a.lease = l.next, l.node, lease{}
	if !halfway {
		a.apply()
	}
	if a.host.warned != nil {
		a.host.warnings, a.host.warned = a.host.warned, nil
	}
	answer(w, mesh.CommitResponse{Problems: a.problems(), Drains: len(a.host.drains.Drains), Warnings: a.host.warnings})
}

// apply brings the kernel to the record: what something else has broken is
// repaired, what the kernel refuses is not.
func (a *agent) apply() {
	if a.record == nil {
		return
	}
	a.host.broken = nil
	if len(a.problems()) == 0 {
		a.applied = a.record.Generation
	}
}

func problems(f func(*mesh.Record) []mesh.Problem, r *mesh.Record) []mesh.Problem {
	found := []mesh.Problem{}
	if f != nil {
		found = append(found, f(r)...)
	}
	return found
}

func decode(w http.ResponseWriter, r Request, into any) bool {
	d := json.NewDecoder(bytes.NewReader(r.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
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
	w.Header().Set("Content-Type", "application/json")
	if r.Code == mesh.Failed {
		w.WriteHeader(http.StatusInternalServerError)
	} else {
		w.WriteHeader(http.StatusConflict)
	}
	answer(w, r)
}
