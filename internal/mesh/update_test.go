package mesh

import (
	"maps"
	"slices"
	"testing"
)

// takeStep makes the next step of web's update, and returns it.
func takeStep(t *testing.T, r *Record) *UpdateStep {
	t.Helper()
	s := r.Services["web"]
	step := s.NextStep()
	if step == nil {
		t.Fatal("there is no step")
	}
	next := r.Successor(r.Hash()) // as a commit does, and the next process finds it
	if ok, err := next.TakeStep("web", s.Task.Revision(), step); !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	if ok, err := next.TakeStep("web", s.Task.Revision(), step); !ok || err != nil {
		t.Fatalf("twice: %v, %v", ok, err)
	}
	*r = *next.Clone()
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	return step
}

func revisions(s *Service) map[string]string {
	found := map[string]string{}
	for key, e := range s.Endpoints {
		image := "new"
		if s.Previous != nil && e.Revision == s.Previous.Revision() {
			image = "old"
		}
		found[key] = image
	}
	return found
}

func updated(replicas int, image string) *Service {
	s := taskService(replicas)
	s.Task = &Task{Image: image}
	return s
}

func TestUpdate_StartFirst(t *testing.T) {
	t.Parallel()
	r := placeRecord(t, 3)
	putTask(t, r, taskService(3))
	before := r.Services["web"].Endpoints
	s := updated(4, "nginx:1.28") // with another task, which is new at once
	s.Update = &UpdatePolicy{Parallelism: 2}
	putTask(t, r, s)
	if got := revisions(r.Services["web"]); !maps.Equal(got, map[string]string{"1": "old", "2": "old", "3": "old", "4": "new"}) {
		t.Fatalf("%v", got)
	}
	if step := takeStep(t, r); !slices.Equal(step.Start, []string{"1", "2"}) {
		t.Fatalf("%+v", step)
	}
	web := r.Services["web"]
	for _, task := range []string{"1", "2"} {
		old, fresh := web.Endpoints[task], web.Endpoints[task+"."+web.Task.Revision()]
		if fresh.Node != old.Node || fresh.Slots[0] == old.Slots[0] || old.Slots[0] != before[task].Slots[0] || web.TaskOf(old).Image != "nginx:1.27" || web.TaskOf(fresh).Image != "nginx:1.28" {
			t.Errorf("%s: %+v beside %+v", task, fresh, old)
		}
	}
	if step := takeStep(t, r); !slices.Equal(step.Stop, []string{"1", "2"}) || step.Finish {
		t.Fatalf("%+v", step)
	}
	if done, of := r.Services["web"].Updated(); done != 3 || of != 4 {
		t.Errorf("%d of %d", done, of)
	}
	takeStep(t, r)
	if step := takeStep(t, r); !slices.Equal(step.Stop, []string{"3"}) || !step.Finish {
		t.Fatalf("%+v", step)
	}
	if web = r.Services["web"]; web.NextStep() != nil || web.Previous != nil || len(web.Endpoints) != 4 {
		t.Errorf("%+v", web)
	}
	putTask(t, r, updated(4, "nginx:1.29")) // and once more: the keys go back
	for r.Services["web"].NextStep() != nil {
		takeStep(t, r)
	}
	if keys := slices.Sorted(maps.Keys(r.Services["web"].Endpoints)); !slices.Equal(keys[:3], []string{"1", "2", "3"}) {
		t.Errorf("%v", keys)
	}
}

// A task that mounts a volume is replaced, unless the order says otherwise.
func TestUpdate_StopFirst(t *testing.T) {
	t.Parallel()
	r := placeRecord(t, 3)
	with := func(image, order string) *Service {
		s := updated(2, image)
		s.Task.Mounts = []TaskMount{{Type: MountVolume, Source: "data", Target: "/data"}}
		s.Update = &UpdatePolicy{Order: order}
		return s
	}
	putTask(t, r, with("db:1", ""))
	putTask(t, r, with("db:2", StopFirst))
	if r.Services["web"].Update != nil {
		t.Errorf("it is the default: %+v", r.Services["web"].Update)
	}
	old := r.Services["web"].Endpoints["1"]
	if step := takeStep(t, r); !slices.Equal(step.Empty, []string{"1"}) || len(r.Services["web"].Endpoints) != 1 || r.Services["web"].Stopping["1"] != old.Node {
		t.Fatalf("%+v, %+v", step, r.Services["web"])
	}
	addNode(t, r, 4) // where nothing runs yet, and the task is not started
	putTask(t, r, with("db:2", ""))
	if web := r.Services["web"]; len(web.Endpoints) != 1 || web.Stopping["1"] != old.Node {
		t.Fatalf("%+v", web)
	}
	takeStep(t, r)
	fresh := r.Services["web"].Endpoints["1"]
	if len(r.Services["web"].Endpoints) != 2 || fresh.Node != old.Node || slices.Equal(fresh.Slots, old.Slots) {
		t.Errorf("%+v", r.Services["web"].Endpoints)
	}
	takeStep(t, r)
	takeStep(t, r)
	if step := takeStep(t, r); !step.Finish || r.Services["web"].Previous != nil {
		t.Errorf("%+v", step)
	}
	putTask(t, r, with("db:3", ""))
	takeStep(t, r)
	r.RemoveNode(old.Node) // on which it was to be started: it is elsewhere, at once
	if web := r.Services["web"]; len(web.Stopping) != 0 || len(web.Endpoints) != 2 || len(web.tasksOf(web.Task.Revision())) != 1 || r.Validate() != nil {
		t.Fatalf("%+v, %v", web, r.Validate())
	}
	for r.Services["web"].NextStep() != nil {
		takeStep(t, r)
	}
	putTask(t, r, with("db:4", StartFirst))
	if takeStep(t, r); len(r.Services["web"].Endpoints) != 3 {
		t.Errorf("%+v", r.Services["web"].Endpoints)
	}
}

// An update that is given up goes back, or on to a third revision.
func TestUpdate_LeftInItsMidst(t *testing.T) {
	t.Parallel()
	begun := func() *Record {
		r := placeRecord(t, 3)
		putTask(t, r, taskService(3))
		putTask(t, r, updated(3, "nginx:bad"))
		for range 3 { // 1 is replaced, 2 is there twice, 3 is old
			takeStep(t, r)
		}
		return r
	}
	r := begun()
	bad := r.Services["web"].Task.Revision()
	putTask(t, r, taskService(3))
	web := r.Services["web"]
	if web.Previous.Revision() != bad || !maps.Equal(revisions(web), map[string]string{"1." + bad: "old", "2": "new", "3": "new"}) {
		t.Fatalf("back: %v", revisions(web))
	}
	for r.Services["web"].NextStep() != nil {
		takeStep(t, r)
	}
	if web = r.Services["web"]; web.Task.Image != "nginx:1.27" || len(web.tasksOf(web.Task.Revision())) != 3 {
		t.Errorf("%+v", web)
	}
	r = begun()
	putTask(t, r, updated(3, "nginx:1.28"))
	web = r.Services["web"]
	if web.Previous.Image != "nginx:1.27" || web.Task.Image != "nginx:1.28" || !slices.Equal(web.tasksOf(web.Task.Revision()), []string{"1"}) || len(web.Endpoints) != 3 {
		t.Fatalf("on: %v", revisions(web))
	}
	for r.Services["web"].NextStep() != nil {
		takeStep(t, r)
	}
	if web = r.Services["web"]; len(web.Endpoints) != 3 || len(web.tasksOf(web.Task.Revision())) != 3 {
		t.Errorf("%+v", web)
	}
}

// What a node change does in the midst of an update keeps both revisions.
func TestUpdate_NodeLeaves(t *testing.T) {
	t.Parallel()
	r := placeRecord(t, 3)
	putTask(t, r, taskService(3))
	putTask(t, r, updated(3, "nginx:1.28"))
	takeStep(t, r)
	r.RemoveNode("n1")
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	web := r.Services["web"]
	if len(web.Endpoints) != 4 || len(web.tasksOf(web.Task.Revision())) != 1 {
		t.Errorf("%v", revisions(web))
	}
	for r.Services["web"].NextStep() != nil {
		takeStep(t, r)
	}
	if web = r.Services["web"]; len(web.Endpoints) != 3 || web.Previous != nil {
		t.Errorf("%v", revisions(web))
	}
}

// A service that comes into networks has its tasks replaced: an engine knows whom a container
// asks for names when it makes it, and not later.
func TestUpdate_IntoNetworks(t *testing.T) {
	t.Parallel()
	r := placeRecord(t, 3)
	if err := r.PutNetwork(&Network{Name: "back"}); err != nil {
		t.Fatal(err)
	}
	putTask(t, r, taskService(2))
	s := taskService(2)
	s.Networks = map[string]Membership{"back": {}}
	putTask(t, r, s)
	web := r.Services["web"]
	if !web.Task.Names || web.Previous == nil || web.Previous.Names || web.NextStep() == nil {
		t.Fatalf("%+v, %+v", web.Task, web.Previous)
	}
	for web.NextStep() != nil {
		takeStep(t, r)
		web = r.Services["web"]
	}
	again := taskService(2)
	again.Networks = map[string]Membership{"back": {Aliases: []string{"shop"}}}
	putTask(t, r, again)
	if r.Services["web"].NextStep() != nil {
		t.Error("another alias replaces tasks")
	}
}
