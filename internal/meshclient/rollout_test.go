package meshclient_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// app is a service with a task, which counts as good as soon as it runs.
func app(image string, replicas int, update mesh.UpdatePolicy) mesh.Service {
	update.MonitorSeconds = new(0)
	return mesh.Service{Name: "app", Task: &mesh.Task{Image: image}, Replicas: replicas, Update: &update}
}

// tasked is a cluster of three nodes with the service app of three tasks.
func tasked(t *testing.T, update mesh.UpdatePolicy) (*meshtest.Fleet, *meshclient.Client, *journal) {
	t.Helper()
	f, _ := cluster(t, three)
	cfg, j := f.ClientConfig(), &journal{}
	cfg.Log = j.log
	c := newClient(t, cfg)
	must(t)(c.PutService(deadline(t), "demo", app("nginx:1", 3, update), true))
	return f, c, j
}

// images are those of the service's tasks, by task.
func images(r *mesh.Record) map[string]string {
	found := map[string]string{}
	s := r.Services["app"]
	for _, e := range s.Endpoints {
		found[e.Task] = strings.Trim(found[e.Task]+" "+s.TaskOf(e).Image, " ")
	}
	return found
}

func all(image string) map[string]string {
	return map[string]string{"1": image, "2": image, "3": image}
}

// failing has tasks of the image fail on the node.
func failing(n *meshtest.Node, image string) {
	n.SetTasks(func(t *mesh.TaskStatus, task *mesh.Task) {
		if task.Image == image {
			t.State, t.ExitCode, t.Error, t.LastLines = mesh.TaskFailed, new(3), "it ended", []string{"no such file: x.conf\x1b[2J"}
		}
	})
}

func TestRollout_Update(t *testing.T) {
	t.Parallel()
	f, c, _ := tasked(t, mesh.UpdatePolicy{})
	before := sameRecord(t, f)
	if len(before.Services["app"].Endpoints) != 3 {
		t.Fatalf("%+v", before.Services["app"])
	}
	must(t)(c.PutService(deadline(t), "demo", app("nginx:2", 3, mesh.UpdatePolicy{}), false))
	r := sameRecord(t, f)
	if got := images(r); !maps.Equal(got, all("nginx:2")) || r.Services["app"].Previous != nil {
		t.Errorf("%v", got)
	}
	if got := r.Generation - before.Generation; got != 7 { // of each task one more and one less
		t.Errorf("%d commits", got)
	}
}

// The order stop-first stops a batch, and starts it when it has ended.
func TestRollout_StopFirst(t *testing.T) {
	t.Parallel()
	policy := mesh.UpdatePolicy{Order: mesh.StopFirst, Parallelism: 2}
	f, c, _ := tasked(t, policy)
	before, most := sameRecord(t, f).Generation, 0
	f.Node("n1").SetTasks(func(*mesh.TaskStatus, *mesh.Task) { most++ }) // once for each of its tasks
	must(t)(c.PutService(deadline(t), "demo", app("nginx:2", 3, policy), false))
	if r := sameRecord(t, f); !maps.Equal(images(r), all("nginx:2")) || r.Generation-before != 6 || most != 1 {
		t.Errorf("%v after %d commits, n1 has said %d times that a task runs", images(r), r.Generation-before, most)
	}
}

// A task that fails stops the update where it is; the next apply goes on.
func TestRollout_Pause(t *testing.T) {
	t.Parallel()
	f, c, _ := tasked(t, mesh.UpdatePolicy{})
	failing(f.Node("n2"), "nginx:2")
	_, err := c.PutService(deadline(t), "demo", app("nginx:2", 3, mesh.UpdatePolicy{}), false)
	wantText(t, err, "node n2: app.2 fails: it ended (exit code 3).", "no such file: x.conf", "paused: 1 of 3 tasks are updated", "apply again")
	if strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
	r := sameRecord(t, f)
	if got := images(r); got["1"] != "nginx:2" || !strings.Contains(got["2"], "nginx:1") || got["3"] != "nginx:1" {
		t.Errorf("%v", got)
	}
	snap, err := newClient(t, f.ClientConfig()).Snapshot(deadline(t))
	if err != nil || !slices.ContainsFunc(snap.Drift(mesh.ServiceRef("app")), func(s string) bool { return strings.Contains(s, "1 of 3 tasks are updated") }) {
		t.Errorf("%v, %v", snap.Drift(mesh.ServiceRef("app")), err)
	}
	f.Node("n2").SetTasks(nil)
	must(t)(c.PutService(deadline(t), "demo", app("nginx:2", 3, mesh.UpdatePolicy{}), false))
	if r := sameRecord(t, f); !maps.Equal(images(r), all("nginx:2")) || len(r.Services["app"].Endpoints) != 3 {
		t.Errorf("%v", images(r))
	}
}

func TestRollout_Rollback(t *testing.T) {
	t.Parallel()
	for _, order := range []string{mesh.StartFirst, mesh.StopFirst} {
		policy := mesh.UpdatePolicy{Order: order, FailureAction: mesh.FailureRollback}
		f, c, _ := tasked(t, policy)
		failing(f.Node("n3"), "nginx:2") // the last one
		_, err := c.PutService(deadline(t), "demo", app("nginx:2", 3, policy), false)
		wantText(t, err, "node n3: app.3 fails", "rolled back")
		if failed, ok := errors.AsType[*meshclient.TasksError](err); !ok || !failed.RolledBack {
			t.Errorf("%s: %+v", order, err)
		}
		if r := sameRecord(t, f); !maps.Equal(images(r), all("nginx:1")) || r.Services["app"].Previous != nil {
			t.Errorf("%s: %v", order, images(r))
		}
	}
}

func TestRollout_Continue(t *testing.T) {
	t.Parallel()
	policy := mesh.UpdatePolicy{FailureAction: mesh.FailureContinue}
	f, c, _ := tasked(t, policy)
	failing(f.Node("n2"), "nginx:2")
	res, err := c.PutService(deadline(t), "demo", app("nginx:2", 3, policy), false)
	if err != nil || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0].Text, "node n2: app.2 fails") {
		t.Fatalf("%+v, %v", res, err)
	}
	if r := sameRecord(t, f); !maps.Equal(images(r), all("nginx:2")) || r.Services["app"].Previous != nil {
		t.Errorf("%v", images(r))
	}
}

// A new service is waited for, too: what cannot be started is an error, and in the record.
func TestRollout_Create(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	f.Node("n2").SetTasks(func(t *mesh.TaskStatus, _ *mesh.Task) {
		t.State, t.Error = mesh.TaskRejected, "no such image: nginx:none"
	})
	res, err := c.PutService(deadline(t), "demo", app("nginx:none", 3, mesh.UpdatePolicy{}), true)
	wantText(t, err, "node n2: app.2 cannot be started: no such image: nginx:none.", "in the cluster's record")
	if res == nil || len(sameRecord(t, f).Services["app"].Endpoints) != 3 {
		t.Errorf("%+v", res)
	}
	f.Node("n2").SetTasks(func(t *mesh.TaskStatus, _ *mesh.Task) { t.State, t.Error = mesh.TaskPreparing, "pulling" })
	ctx, cancel := context.WithTimeout(deadline(t), time.Second)
	defer cancel()
	_, err = c.PutService(ctx, "demo", app("nginx:none", 3, mesh.UpdatePolicy{}), false)
	wantText(t, err, "app.2 does not run yet: preparing, pulling", "time was over")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// A node that cannot be asked keeps its tasks, and an update stops there.
func TestRollout_UnreachableNode(t *testing.T) {
	t.Parallel()
	f, _, _ := tasked(t, mesh.UpdatePolicy{})
	f.Node("n3").SetDown(true)
	cfg := f.ClientConfig()
	cfg.SSH.Timeout = tired
	c := newClient(t, cfg)
	s := app("nginx:1", 4, mesh.UpdatePolicy{})
	if _, err := c.PutService(deadline(t), "demo", s, false); err != nil {
		t.Fatal(err)
	}
	if got := f.Node("n1").Record().Services["app"].Endpoints["3"].Node; got != "n3" {
		t.Errorf("task 3 is on %s", got)
	}
}

// A drained or removed node's tasks move in the same commit.
func TestRollout_DrainAndLeave(t *testing.T) {
	t.Parallel()
	f, c, _ := tasked(t, mesh.UpdatePolicy{})
	n := f.Node("n2").MeshNode()
	n.Availability = mesh.AvailabilityDrain
	must(t)(c.PutNode(deadline(t), "demo", n, false))
	if got := sameRecord(t, f).Services["app"].Endpoints; got["2"].Node == "n2" || got["1"].Node != "n1" || got["3"].Node != "n3" {
		t.Errorf("%+v", got)
	}
	must(t)(c.RemoveNode(deadline(t), "demo", "n3", false))
	if got := f.Node("n1").Record().Services["app"].Endpoints; got["3"].Node != "n1" {
		t.Errorf("%+v", got)
	}
}

// TestRollout_Cut: an update that is cut off at any of its commits is finished by the next
// apply, and no task is lost on the way.
func TestRollout_Cut(t *testing.T) {
	t.Parallel()
	for cut := range 7 {
		f, _, _ := tasked(t, mesh.UpdatePolicy{})
		c := newClient(t, f.ClientConfig())
		ctx, cancel := context.WithCancel(deadline(t))
		asked := 0
		f.Node("n1").SetTasks(func(*mesh.TaskStatus, *mesh.Task) {
			if asked++; asked > cut {
				cancel()
			}
		})
		_, err := c.PutService(ctx, "demo", app("nginx:2", 3, mesh.UpdatePolicy{}), false)
		cancel()
		f.Node("n1").SetTasks(nil)
		if r := sameRecord(t, f); len(images(r)) != 3 {
			t.Fatalf("cut at %d (%v): %v", cut, err, images(r))
		}
		must(t)(newClient(t, f.ClientConfig()).PutService(deadline(t), "demo", app("nginx:2", 3, mesh.UpdatePolicy{}), false))
		if r := sameRecord(t, f); !maps.Equal(images(r), all("nginx:2")) || len(r.Services["app"].Endpoints) != 3 {
			t.Errorf("cut at %d: %v", cut, images(r))
		}
	}
}

// A task that does not keep running is drift of its service, and no warning beside it.
func TestRollout_CrashLoopIsDrift(t *testing.T) {
	t.Parallel()
	f, _, _ := tasked(t, mesh.UpdatePolicy{})
	f.Node("n2").SetWarnings(mesh.Warning{Code: "task", Object: mesh.ServiceRef("app"), Text: "Task app.2 does not keep running: exit code 3"})
	snap, err := newClient(t, f.ClientConfig()).Snapshot(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if drift := snap.Drift(mesh.ServiceRef("app")); !slices.Equal(drift, []string{"node n2: Task app.2 does not keep running: exit code 3."}) || len(snap.TrafficWarnings()) != 0 {
		t.Errorf("%q, %v", drift, snap.TrafficWarnings())
	}
}

func TestRollout_Progress(t *testing.T) {
	t.Parallel()
	f, c, j := tasked(t, mesh.UpdatePolicy{})
	waits := 3
	f.Node("n2").SetTasks(func(t *mesh.TaskStatus, task *mesh.Task) {
		if waits--; task.Image == "nginx:2" && waits > 0 {
			t.State = mesh.TaskPreparing
		}
	})
	must(t)(c.PutService(deadline(t), "demo", app("nginx:2", 3, mesh.UpdatePolicy{DelaySeconds: 1}), false))
	for _, want := range []string{"app: 1 of 3 updated, waiting for app.2 on n2 (preparing)", "app: 2 of 3 updated, waiting 1s (delay)"} {
		if !strings.Contains(j.text(), want) {
			t.Errorf("the log lacks %q:\n%s", want, j.text())
		}
	}
}
