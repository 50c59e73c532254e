package server

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// lease is the right of one writer to commit what it has prepared. The zero
// lease is nobody's.
type lease struct {
	holder  string
	expires time.Time
	next    Stored
}

func (l *lease) heldAt(now time.Time) bool { return l.holder != "" && now.Before(l.expires) }

// mayCommit refuses what is not exactly the prepared commit.
func (l *lease) mayCommit(c *mesh.CommitRequest, now time.Time) *refusal {
	switch {
	case l.holder == "" || l.holder != c.Holder:
		return refused(mesh.NotPrepared, "The node has no prepared commit of this writer: its agent was restarted, or another writer has taken "+
			"the lease since. Nothing was changed; prepare again (run terraform apply again).")
	case !l.heldAt(now):
		return refused(mesh.NotPrepared, "The commit was prepared more than %s ago, and its lease has run out. Nothing was changed; "+
			"prepare again (run terraform apply again).", mesh.LeaseTTL)
	case l.next.generation() != c.Generation || l.next.hash() != c.Hash:
		return refused(mesh.NotPrepared, "The commit names generation %d (%.12s), prepared was generation %d (%.12s). Nothing was changed; prepare again.",
			c.Generation, c.Hash, l.next.generation(), l.next.hash())
	}
	return nil
}

// admit decides whether the writer may prepare its record here, and returns
// what would be stored.
func (s *Server) admit(req *mesh.PrepareRequest) (Stored, *refusal) {
	switch {
	case req.Holder == "":
		return Stored{}, failed(http.StatusBadRequest, "The request names no holder.")
	case req.Record == nil && req.Change == nil:
		return Stored{}, failed(http.StatusBadRequest, "The request has no record.")
	case req.Record != nil && req.Record.Generation == 0:
		return Stored{}, failed(http.StatusBadRequest, "The record has generation 0; the first to be committed is 1.")
	}
	own, _ := s.current()
	promise := s.Store.Promise()
	next, known, err := req.Proposed(own.Record, own.hash())
	if err != nil {
		return Stored{}, failed(http.StatusBadRequest, "The record breaks a rule that this agent knows: %v.", err)
	}
	if now := s.Now(); s.lease.heldAt(now) && s.lease.holder != req.Holder {
		left := s.lease.expires.Sub(now)
		r := refused(mesh.Busy, "Another writer is changing the cluster right now: it holds the node's lease for at most %s more. "+
			"Wait for the other terraform apply, then run this one again.", left.Round(time.Second))
		r.RetryAfterMillis = left.Milliseconds()
		return Stored{}, r
	}
	if !known {
		return Stored{}, stale(own, promise, "The change was made to another record than the node's generation %d: it must be sent whole.", own.generation())
	}
	rec := next.Record
	if r := sameCluster(own, req.Node, rec); r != nil {
		return Stored{}, r
	}
	if why := req.OutOfOrder(own.Record, own.hash(), rec); why != "" {
		return Stored{}, stale(own, promise, "%s", why)
	}
	if req.Vote && promise.Refuses(rec.Generation, req.Holder) {
		return Stored{}, stale(own, promise, "The node has promised generation %d to another writer. Run terraform apply again.", promise.Generation)
	}
	return Stored{Node: nodeName(own, req.Node, rec), Record: rec, sum: next.Hash, encoded: next.JSON, origin: next.Origin}, nil
}

// sameCluster keeps a host from being taken over: by another cluster, or as
// another node while the record still has it as one.
func sameCluster(own Stored, node string, next *mesh.Record) *refusal {
	if own.Record == nil {
		return nil
	}
	if own.Record.UID != next.UID {
		return refused(mesh.Foreign, "This host belongs to the cluster %q (uid %s), not to %q (uid %s). A host is in one cluster at a time: "+
			"remove it from that one first, or, if that cluster is gone, run `routingmesh-agent uninstall` on the host.",
			own.Record.Cluster.Name, own.Record.UID, next.Cluster.Name, next.UID)
	}
	if own.Node != "" && node != "" && own.Node != node && next.Nodes[own.Node] != nil {
		return refused(mesh.Foreign, "This host is already node %s of the cluster, so it cannot be node %s as well. "+
			"Give node %s another host (address, ssh), or remove node %s first.", own.Node, node, node, own.Node)
	}
	return nil
}

// stale says what the node has.
func stale(own Stored, promise mesh.Promise, format string, args ...any) *refusal {
	r := refused(mesh.Stale, format, args...)
	r.Generation, r.Hash, r.Promised = own.generation(), own.hash(), promise.Generation
	return r
}

// nodeName is the host's name in the next record: as asked, else as before;
// "" where the record has no such node, for a host that has left.
func nodeName(own Stored, asked string, next *mesh.Record) string {
	name := cmp.Or(asked, own.Node)
	if next.Nodes[name] == nil {
		return ""
	}
	return name
}

// refused is a refusal with a code of the commit protocol: 409.
func refused(code mesh.RefusalCode, format string, args ...any) *refusal {
	return &refusal{mesh.Refusal{Code: code, Text: fmt.Sprintf(format, args...)}, http.StatusConflict}
}
