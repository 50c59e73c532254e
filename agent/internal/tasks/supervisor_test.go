package tasks

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// fakeEngine is a Docker that keeps containers in memory.
type fakeEngine struct {
	t  *testing.T
	mu sync.Mutex
	// containers are by name.
	containers map[string]*fakeContainer
	image      bool
	runs       int
	hang       string // the name of a container that gets no answer
	calls      []string
}

type fakeContainer struct {
	ID, Status string
	Labels     map[string]string
	Run        int
	ExitCode   int
}

func newFakeEngine(t *testing.T, root string) *fakeEngine {
	t.Helper()
	f := &fakeEngine{t: t, containers: map[string]*fakeContainer{}, image: true}
	if err := os.MkdirAll(filepath.Join(root, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(root, "run/docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: f}
	go server.Serve(l) //nolint:errcheck // it ends with the server
	t.Cleanup(func() { server.Close() })
	return f
}

func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_ping" {
		w.Header().Set("Api-Version", "1.41")
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1.41/"), "/")
	f.mu.Lock()
	hangs := f.hang != "" && strings.Contains(r.URL.Path, f.hang)
	f.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(status int, v any) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v) //nolint:errcheck // a test
	}
	if r.Method != http.MethodGet {
		f.calls = append(f.calls, r.Method+" "+strings.Join(parts, "/"))
	}
	switch {
	case parts[0] == "images" && parts[1] == "create":
		answer(http.StatusOK, map[string]any{"errorDetail": map[string]string{"message": "manifest unknown"}})
	case parts[0] == "images":
		if !f.image {
			answer(http.StatusNotFound, nil)
		}
	case parts[1] == "json":
		list := []any{}
		for name, c := range f.containers {
			list = append(list, map[string]any{"Id": c.ID, "Names": []string{"/" + name}, "Labels": c.Labels})
		}
		answer(http.StatusOK, list)
	case parts[1] == "create":
		f.create(r, answer)
	default:
		f.one(r.Method, parts, answer)
	}
}

func (f *fakeEngine) create(r *http.Request, answer func(int, any)) {
	name := r.URL.Query().Get("name")
	if f.containers[name] != nil {
		answer(http.StatusConflict, map[string]string{"message": "in use"})
		return
	}
	var body struct{ Labels map[string]string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		f.t.Error(err)
	}
	f.runs++
	f.containers[name] = &fakeContainer{ID: fmt.Sprintf("%064x", f.runs), Status: "created", Labels: body.Labels}
	answer(http.StatusCreated, map[string]string{"Id": f.containers[name].ID})
}

// one is a call about a container, by its name or ID.
func (f *fakeEngine) one(method string, parts []string, answer func(int, any)) {
	name := parts[1]
	for n, c := range f.containers {
		if c.ID == name {
			name = n
		}
	}
	c := f.containers[name]
	switch {
	case c == nil:
		answer(http.StatusNotFound, map[string]string{"message": "no such container"})
	case method == http.MethodDelete:
		delete(f.containers, name)
		answer(http.StatusNoContent, nil)
	case parts[2] == "start":
		f.runs++
		c.Status, c.Run = "running", f.runs
	case parts[2] == "stop":
		c.Status = "exited"
	case parts[2] == "json":
		answer(http.StatusOK, map[string]any{"Id": c.ID, "Name": "/" + name, "Config": map[string]any{"Labels": c.Labels, "StopTimeout": 1}, "State": map[string]any{
			"Status": c.Status, "Running": c.Status == "running", "StartedAt": fmt.Sprint("run ", c.Run), "ExitCode": c.ExitCode,
		}})
	}
}

func (f *fakeEngine) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// recordOf is a record with tasks of the service web on n1.
func recordOf(t *testing.T, tasks ...string) *mesh.Record {
	t.Helper()
	rec := &mesh.Record{UID: "u", Cluster: mesh.Cluster{Name: "c"}, Nodes: map[string]*mesh.Node{"n1": {Name: "n1", Block: netip.MustParsePrefix("10.255.0.0/24")}}, Services: map[string]*mesh.Service{}}
	zero := 0
	s := &mesh.Service{Name: "web", Task: &mesh.Task{Image: "web", Restart: mesh.TaskRestart{DelaySeconds: &zero}}, Endpoints: map[string]mesh.Endpoint{}}
	for _, task := range tasks {
		s.Endpoints[task] = mesh.Endpoint{Node: "n1", Task: task, Revision: s.Task.Revision()}
	}
	rec.Services["web"] = s
	return rec
}

// started is a Supervisor that runs.
func started(t *testing.T, root string) *Supervisor {
	t.Helper()
	s := New(Options{Root: root, Log: slog.New(slog.DiscardHandler), Marker: filepath.Join(root, "tasks")})
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(t.Context()) }()
	t.Cleanup(func() { <-ended })
	return s
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// runs says which tasks of a Supervisor run, "1 2".
func runs(s *Supervisor) string {
	var all []string
	for _, st := range s.Statuses() {
		if st.State == mesh.TaskRunning {
			all = append(all, st.Task)
		}
	}
	return strings.Join(all, " ")
}

func TestSupervisor_Lifecycle(t *testing.T) {
	root := t.TempDir()
	f, s := newFakeEngine(t, root), started(t, root)
	mine := &fakeContainer{ID: strings.Repeat("f", 64), Status: "running"}
	f.change(func() { f.containers["mine"] = mine })
	rec := recordOf(t, "1", "2")
	s.Keep(rec, "n1")
	until(t, "both run", func() bool { return runs(s) == "1 2" })
	name := ContainerName("c", "web", "1", rec.Services["web"].Task.Revision())
	f.change(func() {
		if f.containers[name] == nil || f.containers[name].Labels[mesh.LabelTask] != "1" {
			t.Errorf("the containers %v, want %s", f.containers, name)
		}
	})
	next := recordOf(t, "2")
	s.Keep(next, "n1")
	until(t, "the first has gone", func() bool {
		all := s.Statuses()
		return len(all) == 1 && all[0].Task == "2"
	})
	s.Keep(next, "")
	until(t, "a host that leaves runs none", func() bool { return len(s.Statuses()) == 0 })
	f.change(func() {
		if len(f.containers) != 1 || f.containers["mine"] != mine || mine.Status != "running" {
			t.Errorf("what is left: %v", f.containers)
		}
		mine.Labels = map[string]string{mesh.LabelCluster: "other"}
	})
}

// TestSupervisor_Restart: a restarted agent goes on with what runs, and removes what it does not want.
func TestSupervisor_Restart(t *testing.T) {
	root := t.TempDir()
	f := newFakeEngine(t, root)
	rec := recordOf(t, "1")
	labels := rec.TaskLabels("web", "1", rec.Services["web"].Task.Revision())
	name := ContainerName("c", "web", "1", labels[mesh.LabelRevision])
	if err := os.WriteFile(filepath.Join(root, "tasks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.containers[name] = &fakeContainer{ID: strings.Repeat("a", 64), Status: "running", Labels: labels, Run: 7}
	f.containers["c.old.1.r"] = &fakeContainer{ID: strings.Repeat("b", 64), Status: "running", Labels: rec.TaskLabels("old", "1", "r"), Run: 8}
	s := started(t, root)
	s.Keep(rec, "n1")
	until(t, "it runs, and the other has gone", func() bool {
		left := 0
		f.change(func() { left = len(f.containers) })
		return runs(s) == "1" && left == 1
	})
	f.change(func() {
		if f.containers[name].Run != 7 {
			t.Error("it was started again")
		}
	})
	s.Keep(recordOf(t), "n1")
	until(t, "the marker has gone with the last container", func() bool {
		signal(s.changed)
		_, err := os.Lstat(filepath.Join(root, "tasks"))
		return os.IsNotExist(err)
	})
}

// TestSupervisor_Hang: an engine that does not answer for one container holds up no other.
func TestSupervisor_Hang(t *testing.T) {
	root := t.TempDir()
	f, s := newFakeEngine(t, root), started(t, root)
	f.change(func() { f.hang = "web.1." })
	s.Keep(recordOf(t, "1", "2"), "n1")
	until(t, "the other runs", func() bool { return runs(s) == "2" })
}

func TestSupervisor_Rejected(t *testing.T) {
	root := t.TempDir()
	s := started(t, root)
	s.Keep(recordOf(t, "1"), "n1")
	rejected := func(text string) func() bool {
		return func() bool {
			all := s.Statuses()
			return all[0].State == mesh.TaskRejected && strings.Contains(all[0].Error, text)
		}
	}
	until(t, "there is no engine", rejected("neither Docker's socket nor Podman's"))
	f := newFakeEngine(t, root)
	f.change(func() { f.image = false })
	until(t, "there is no image", rejected("manifest unknown"))
	if all := s.Warnings(); len(all) != 1 || all[0].Code != mesh.WarnTask || all[0].Text != "Task web.1 cannot run: manifest unknown. It is tried again." {
		t.Errorf("%+v", all)
	}
}

func TestRemoveAll(t *testing.T) {
	root := t.TempDir()
	f := newFakeEngine(t, root)
	f.containers["a"] = &fakeContainer{ID: strings.Repeat("a", 64), Status: "running", Labels: map[string]string{mesh.LabelCluster: "u"}}
	f.containers["b"] = &fakeContainer{ID: strings.Repeat("b", 64), Status: "running", Labels: map[string]string{mesh.LabelCluster: "other"}}
	n, err := RemoveAll(t.Context(), root, "u")
	if n != 1 || err != nil || f.containers["b"] == nil || len(f.containers) != 1 {
		t.Errorf("%d, %v: %v", n, err, f.containers)
	}
	want := "POST containers/" + strings.Repeat("a", 64) + "/stop,DELETE containers/" + strings.Repeat("a", 64)
	if got := strings.Join(f.calls, ","); got != want {
		t.Errorf("it called %s", got)
	}
}
