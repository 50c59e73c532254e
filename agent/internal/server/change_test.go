package server

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What is on the disk does not tell how the record came.
func TestTheRecordIsStoredAsItWasEncoded(t *testing.T) {
	rec := cluster(t, "u", "n1")
	whole := Stored{Node: "n1", Record: rec}
	encoded := whole
	encoded.encoded = rec.Encode().JSON
	want, err := whole.encode()
	check(t, err)
	got, err := encoded.encode()
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}

// change is what a writer sends that knows base to be the node's record.
func change(base, next *mesh.Record) *mesh.Change {
	c := mesh.Diff(base, next)
	c.Base, c.Hash = base.Hash(), next.Hash()
	return c
}

func TestACommitOfAChange(t *testing.T) {
	dir := t.TempDir()
	a := newAgent(t, dir)
	base := cluster(t, "u", "n1", "n2")
	a.has(t, "n1", base)
	next := base.Next()
	next.RemoveNode("n2")
	_, refusal := a.call(t, "POST", mesh.PathPrepare, mesh.PrepareRequest{Holder: "w", Change: change(base, next)}, &mesh.PrepareResponse{})
	if refusal.Code != "" {
		t.Fatal(refusal.Text)
	}
	if code := a.commit(t, "w", next); code != "" {
		t.Fatal(code)
	}
	// The whole record is what counts, in memory as on the disk.
	for _, b := range []*agent{a, newAgent(t, dir)} {
		st := b.statusOf(t, "")
		if st.Hash != next.Hash() || st.Record.Hash() != next.Hash() || st.Node != "n1" {
			t.Errorf("the node has generation %d, %s", st.Generation, st.Hash)
		}
	}
}

func TestAChangeIsRefusedWhereItDoesNotFit(t *testing.T) {
	base := cluster(t, "u", "n1", "n2")
	next := base.Next()
	next.RemoveNode("n2")
	spoiled := func(spoil func(*mesh.Change)) *mesh.Change {
		c := change(base, next)
		spoil(c)
		return c
	}
	for name, tt := range map[string]struct {
		own    *mesh.Record // nil for none
		change *mesh.Change
		want   mesh.RefusalCode
		says   string
	}{
		"no record":                  {nil, change(base, next), mesh.Stale, "must be sent whole"},
		"a newer record":             {base.Next(), change(base, next), mesh.Stale, "generation 2"},
		"another record":             {base, spoiled(func(c *mesh.Change) { c.Base = next.Hash() }), mesh.Stale, "must be sent whole"},
		"the same generation":        {base, spoiled(func(c *mesh.Change) { c.Generation-- }), mesh.Failed, "another record"},
		"what it does not amount to": {base, spoiled(func(c *mesh.Change) { c.Hash = base.Hash() }), mesh.Failed, "another record"},
		"a rule":                     {base, spoiled(func(c *mesh.Change) { c.Cluster = &mesh.Cluster{} }), mesh.Failed, "breaks a rule"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, t.TempDir())
			if tt.own != nil {
				a.has(t, "n1", tt.own)
			}
			before := a.statusOf(t, "")
			code, refusal := a.call(t, "POST", mesh.PathPrepare, mesh.PrepareRequest{Holder: "w", Change: tt.change}, nil)
			if code == http.StatusOK || refusal.Code != tt.want || !strings.Contains(refusal.Text, tt.says) {
				t.Errorf("answer %d %q %q, want %q with %q", code, refusal.Code, refusal.Text, tt.want, tt.says)
			}
			if refusal.Code == mesh.Stale && (refusal.Generation != before.Generation || refusal.Hash != before.Hash) {
				t.Errorf("the refusal names generation %d, the node has %d", refusal.Generation, before.Generation)
			}
			if a.commit(t, "w", next) != mesh.NotPrepared {
				t.Error("it can be committed all the same")
			}
		})
	}
}
