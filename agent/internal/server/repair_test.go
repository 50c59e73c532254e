package server

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestRepairPassesTheObjectsOnAndAnswersWithWhatIsLeft(t *testing.T) {
	a := newAgent(t, t.TempDir())
	a.has(t, "n1", cluster(t, "uid", "n1"))
	a.reconciler.problems = []mesh.Problem{{Object: mesh.NodeRef("n1"), Text: "The link is missing."}}
	var answer mesh.RepairResponse
	code, _ := a.call(t, "POST", mesh.PathRepair, mesh.RepairRequest{Objects: []mesh.Ref{mesh.NodeRef("n1")}}, &answer)
	if code != http.StatusOK || len(answer.Problems) != 1 || fmt.Sprint(a.reconciler.asked) != "[[node/n1]]" {
		t.Errorf("%d, %v, asked %v", code, answer, a.reconciler.asked)
	}
	if code, _ := a.call(t, "POST", mesh.PathRepair, `{"objekts":[]}`, nil); code != http.StatusBadRequest {
		t.Errorf("an unknown field: %d", code)
	}
	if st := a.statusOf(t, ""); st.Repairs != 7 {
		t.Errorf("status counts %d repairs", st.Repairs)
	}
}

func TestARepairHasWhatIsWrongWithTheRecord(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "record.json"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAgent(t, dir)
	for objects, want := range map[mesh.Ref]int{{}: 1, mesh.ClusterRef: 1, mesh.NodeRef("n1"): 0} {
		var answer mesh.RepairResponse
		body := mesh.RepairRequest{Objects: []mesh.Ref{objects}}
		if objects.IsZero() {
			body.Objects = nil
		}
		a.call(t, "POST", mesh.PathRepair, body, &answer)
		if len(answer.Problems) != want {
			t.Errorf("%q: %v", objects, answer.Problems)
		}
	}
}

func TestARecordFileThatIsLostOrChangedIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "record.json")
	store := NewStore(dir)
	check := func(what, want string) {
		t.Helper()
		if got := store.Check().Fault; want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	check("nothing kept", "")
	rec := cluster(t, "uid", "n1")
	if err := store.Save(Stored{Node: "n1", Record: rec}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check("just saved", "")
	for what, breaks := range map[string]func() error{
		"is missing":                        func() error { return os.Remove(path) },
		"is not what the agent has written": func() error { return os.WriteFile(path, whole[:len(whole)/2], 0o600) },
	} {
		if err := breaks(); err != nil {
			t.Fatal(err)
		}
		check(what, what)
		if err := store.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("repaired", "")
		if have, err := os.ReadFile(path); err != nil || string(have) != string(whole) {
			t.Errorf("%s: repaired as %q, %v", what, have, err)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil { // touched, and the same
		t.Fatal(err)
	}
	check("touched", "")
	loaded := NewStore(dir)
	if _, _, err := loaded.Load(); err != nil {
		t.Fatal(err)
	}
	store = loaded
	check("loaded", "")
}
