package reconcile

import (
	"log/slog"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// applied is the last record that the kernel had whole. Its file names that record for the
// next agent, until the host boots.
type applied struct {
	log        *slog.Logger
	path       string // "" keeps nothing
	hash       func(*mesh.Record) string
	generation uint64       // 0 for none
	kept       *mesh.Record // that the file names
}

// mark names a record, and the node that it was applied as.
type mark struct {
	UID        string `json:"uid"`
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
	Node       string `json:"node"`
}

func (a *applied) mark(rec *mesh.Record, node string) mark {
	return mark{UID: rec.UID, Generation: rec.Generation, Hash: a.hash(rec), Node: node}
}

// resume takes up what an earlier agent has kept. It says whether the kernel had exactly
// this record whole, as this node, on this boot.
func (a *applied) resume(rec *mesh.Record, node string) (whole bool) {
	var last mark
	load(a.path, &last, a.log)
	if last.UID == rec.UID && last.Generation <= rec.Generation {
		a.generation = last.Generation
	}
	if last != a.mark(rec, node) {
		return false
	}
	a.kept = rec
	return true
}

// note is for a record that the kernel has whole.
func (a *applied) note(rec *mesh.Record, node string) {
	a.generation = rec.Generation
	if a.kept != rec {
		save(a.path, a.mark(rec, node), a.log)
		a.kept = rec
	}
}
