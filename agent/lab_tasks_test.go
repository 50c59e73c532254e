//go:build lab

// Tasks on real engines: what the agent does with Docker of n1 and Podman of n2, by records
// that a scheduler could have made.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const taskImage = "localhost/answer:latest"

// taskLab is a lab whose record has tasks.
type taskLab struct {
	*testing.T
	rec *mesh.Record
	// tasks are those of the service web, and their nodes.
	task  *mesh.Task
	tasks map[string]labHost
}

// importAnswer puts the image of internal/test/answer into an engine, and has it run once, so that
// the engine has set up what it leaves on a host.
func importAnswer(t *testing.T, engine string, h labHost) {
	t.Helper()
	dir := t.TempDir()
	for _, command := range [][]string{
		{"go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "answer"), "../internal/test/answer"},
		{"tar", "-C", dir, "-cf", filepath.Join(dir, "answer.tar"), "answer"},
		{"scp", "-q", "-F", filepath.Join(labDir(), "ssh_config"), filepath.Join(dir, "answer.tar"), string(h) + ":/tmp/"},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	h.run(t, fmt.Sprintf(`systemctl start %[1]s.socket && %[1]s import -c 'ENTRYPOINT ["/answer"]' /tmp/answer.tar %[2]s && rm /tmp/answer.tar
		%[1]s run --rm %[2]s get http://127.0.0.1:1/ 1`, engine, taskImage))
	t.Cleanup(func() {
		h.run(t, fmt.Sprintf("%[1]s ps -aq | xargs -r %[1]s rm -f; %[1]s rmi -f %[2]s; systemctl stop %[1]s.socket %[1]s.service; ip link del docker0; iptables -P FORWARD ACCEPT; true", engine, taskImage))
	})
}

// commit has the nodes take a record with these tasks, as the scheduler makes them.
func (l *taskLab) commit(nodes ...labHost) {
	l.Helper()
	next := l.rec.Next()
	service := &mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{}, Task: l.task, Replicas: len(l.tasks), DrainSeconds: 3}
	for number, h := range l.tasks {
		service.Endpoints[number] = mesh.Endpoint{
			Node: string(h), Task: number, Revision: l.task.Revision(), Slots: []uint16{0},
			Container: &mesh.Container{Labels: next.TaskLabels("web", number, l.task.Revision())},
		}
	}
	if err := next.PutService(service); err != nil {
		l.Fatal(err)
	}
	if err := next.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}); err != nil {
		l.Fatal(err)
	}
	for try := range 5 {
		err := l.tryCommit(next, nodes)
		if err == nil {
			break
		}
		if try == 4 {
			l.Fatal(err)
		}
		next.Generation++ // a node may have taken it; in a slow lab a lease may run out
	}
	l.rec = next
}

func (l *taskLab) tryCommit(next *mesh.Record, nodes []labHost) error {
	errs := make([]error, len(nodes))
	everywhere := func(do func(i int, h labHost)) error {
		var all sync.WaitGroup
		for i, h := range nodes {
			all.Go(func() { do(i, h) })
		}
		all.Wait()
		return errors.Join(errs...)
	}
	err := everywhere(func(i int, h labHost) {
		errs[i] = h.tryCall(mesh.PathPrepare, mesh.PrepareRequest{Holder: "lab", Node: string(h), Record: next}, nil)
	})
	if err != nil {
		return err
	}
	return everywhere(func(i int, h labHost) {
		errs[i] = h.tryCall(mesh.PathCommit, mesh.CommitRequest{Holder: "lab", Generation: next.Generation, Hash: next.Hash()}, nil)
	})
}

// statuses are the tasks of a node.
func (l *taskLab) statuses(h labHost) (all []mesh.TaskStatus) {
	l.Helper()
	var tasks mesh.Tasks
	out := h.run(l.T, "curl -sS --retry 60 --retry-all-errors --retry-delay 1 --unix-socket /run/routingmesh/agent.sock http://agent"+mesh.PathTasks)
	if err := json.Unmarshal([]byte(out), &tasks); err != nil {
		l.Fatal(err, out)
	}
	return tasks.Tasks
}

// until waits for something of a node's tasks.
func (l *taskLab) until(what string, h labHost, ok func([]mesh.TaskStatus) bool) {
	l.Helper()
	deadline := time.Now().Add(6 * time.Minute)
	for {
		all := l.statuses(h)
		if ok(all) {
			return
		}
		if time.Now().After(deadline) {
			l.Fatalf("%s: %s: %+v\n%s", h, what, all, h.run(l.T, "docker ps -a; podman ps -a; journalctl -u routingmesh-agent -n 30 --no-pager"))
		}
		time.Sleep(time.Second)
	}
}

// run says that these tasks run, and no others are there.
func run(tasks ...string) func([]mesh.TaskStatus) bool {
	return func(all []mesh.TaskStatus) bool {
		var are []string
		for _, s := range all {
			if s.State != mesh.TaskRunning {
				return false
			}
			are = append(are, s.Task)
		}
		return slices.Equal(are, tasks)
	}
}

// answered waits until as many containers answer on each node.
func (l *taskLab) answered(when string, containers int) {
	l.Helper()
	for _, h := range labNodes {
		url := fmt.Sprintf("http://%s:8080/", l.rec.Nodes[string(h)].Address)
		deadline := time.Now().Add(time.Minute)
		for {
			out := labClient.run(l.T, "for i in 1 2 3 4 5 6; do curl -sS -m 10 "+url+" 2>&1 | cut -d' ' -f1,2; done | sort -u")
			if strings.Count(out, " sees") == containers && len(strings.Split(out, "\n")) == containers {
				break
			}
			if time.Now().After(deadline) {
				l.Errorf("%s: through %s: %q, want %d containers", when, h, out, containers)
				break
			}
		}
	}
}

func TestLabTasks(t *testing.T) {
	borrowLab(t)
	importAnswer(t, "docker", "n1")
	importAnswer(t, "podman", "n2")
	installEverywhere(t, buildAgent(t))
	rec := labRecord(t, labAddresses(t))
	rec.RemovePort(mesh.PortKey{Port: 8081, Protocol: mesh.TCP})
	rec.Generation = 0
	delay := 1
	l := &taskLab{T: t, rec: rec, task: &mesh.Task{Image: taskImage, Restart: mesh.TaskRestart{DelaySeconds: &delay}}, tasks: map[string]labHost{"1": "n1", "2": "n2"}}
	l.commit(labNodes...)
	l.until("runs", "n1", run("1"))
	l.until("runs", "n2", run("2"))
	l.answered("at first", 2)
	for engine, h := range map[string]labHost{"docker": "n1", "podman": "n2"} {
		t.Run(engine, func(t *testing.T) { l.on(t, engine, h) })
	}
	t.Run("scale", l.scales)
	t.Run("image", l.badImage)
	t.Run("crash", l.crashes)
	t.Run("leave", l.leaves)
}

// on does to one engine's container what may happen to it.
func (l *taskLab) on(t *testing.T, engine string, h labHost) {
	o := &taskLab{T: t, rec: l.rec, task: l.task, tasks: l.tasks}
	number := map[labHost]string{"n1": "1", "n2": "2"}[h]
	name := o.statuses(h)[0].Container
	inspect := fmt.Sprintf("%s inspect -f '{{.State.StartedAt}} {{.State.Pid}}' %s", engine, name)
	started := h.run(t, inspect)
	h.run(t, "systemctl restart routingmesh-agent && kill -9 $(systemctl show -P MainPID routingmesh-agent)")
	time.Sleep(3 * time.Second)
	o.until("runs after a restart of the agent", h, run(number))
	if now := h.run(t, inspect); now != started {
		t.Errorf("a restart of the agent started the container again: %s, was %s", now, started)
	}
	h.run(t, fmt.Sprintf("%s rm -f %s", engine, name))
	o.until("is made again", h, func(all []mesh.TaskStatus) bool { return all[0].State == mesh.TaskRunning && all[0].Error == "" })
	o.answered("after a removal", 2)
	h.run(t, fmt.Sprintf("kill -9 $(%s inspect -f '{{.State.Pid}}' %s)", engine, name))
	o.until("is started again", h, func(all []mesh.TaskStatus) bool { return all[0].State == mesh.TaskRunning && all[0].Restarts >= 1 })
	o.answered("after a kill", 2)
	h.run(t, "systemctl restart "+engine)
	time.Sleep(2 * time.Second)
	o.until("runs after a restart of the engine", h, run(number))
	o.answered("after a restart of the engine", 2)
	if n := h.run(t, engine+" ps -aq | wc -l"); n != "1" {
		t.Errorf("%s containers, want one", n)
	}
	if out := h.run(t, "routingmesh-agent status || true"); strings.Contains(out, "WARNINGS") {
		t.Error(out)
	}
}

func (l *taskLab) scales(t *testing.T) {
	l.T = t
	url := fmt.Sprintf("http://%s:8080/", l.rec.Nodes["n3"].Address)
	labClient.run(t, "rm -f /tmp/tasks.*; (while [ ! -e /tmp/tasks.stop ]; do curl -sS -m 20 "+url+" >/dev/null 2>>/tmp/tasks.failed && echo >>/tmp/tasks.ok; done) </dev/null >/dev/null 2>&1 &")
	l.tasks = map[string]labHost{"1": "n1", "2": "n2", "3": "n1", "4": "n2"}
	l.commit(labNodes...)
	l.until("runs", "n1", run("1", "3"))
	l.until("runs", "n2", run("2", "4"))
	l.answered("after a scale up", 4)
	l.tasks = map[string]labHost{"1": "n1"}
	l.commit(labNodes...)
	l.until("has gone", "n1", run("1"))
	l.until("has gone", "n2", run())
	l.answered("after a scale down", 1)
	labClient.run(t, "touch /tmp/tasks.stop")
	time.Sleep(2 * time.Second)
	if out := labClient.run(t, "cat /tmp/tasks.failed; wc -l </tmp/tasks.ok; rm -f /tmp/tasks.*"); strings.Contains(out, "curl") || out == "0" {
		t.Errorf("requests failed while it was scaled:\n%s", out)
	}
	if n := labHost("n2").run(t, "podman ps -aq | wc -l"); n != "0" {
		t.Errorf("%s containers of Podman are left", n)
	}
}

func (l *taskLab) badImage(t *testing.T) {
	l.T = t
	good := l.task
	l.task, l.tasks = &mesh.Task{Image: "localhost:1/none:1"}, map[string]labHost{"1": "n1", "2": "n2"}
	l.commit(labNodes...)
	for _, h := range []labHost{"n1", "n2"} {
		l.until("is rejected", h, func(all []mesh.TaskStatus) bool {
			return len(all) == 1 && all[0].State == mesh.TaskRejected && all[0].Error != ""
		})
		t.Logf("%s: %+v", h, l.statuses(h))
		if out := h.run(t, "COLUMNS=300 routingmesh-agent status || true"); !strings.Contains(out, "cannot run: ") || strings.Contains(out, "nobody to answer") {
			t.Error(out)
		}
	}
	l.task = good
	l.commit(labNodes...)
	l.until("runs", "n1", run("1"))
	l.until("runs", "n2", run("2"))
}

func (l *taskLab) crashes(t *testing.T) {
	l.T = t
	good := l.task
	l.task = &mesh.Task{Image: taskImage, Command: []string{"get", "http://127.0.0.1:1/", "1"}, Restart: good.Restart}
	l.commit(labNodes...)
	for _, h := range []labHost{"n1", "n2"} {
		l.until("fails twice", h, func(all []mesh.TaskStatus) bool {
			return len(all) == 1 && all[0].Restarts >= 2 && len(all[0].LastLines) > 0
		})
		out := h.run(t, "COLUMNS=500 routingmesh-agent status || true; COLUMNS=80 routingmesh-agent service ps; routingmesh-agent service logs web")
		if !strings.Contains(out, `does not keep running: it ended with exit code 0 (it wrote last: "refused")`) {
			t.Error(out)
		}
		t.Log(out)
	}
	l.task = good
	l.commit(labNodes...)
	l.until("runs", "n1", run("1"))
	l.until("runs", "n2", run("2"))
}

// leaves: a node that leaves has no containers of the cluster's, but those of others.
func (l *taskLab) leaves(t *testing.T) {
	l.T = t
	labHost("n1").run(t, "docker run -d --name mine "+taskImage)
	l.task = &mesh.Task{Image: taskImage, StopGraceSeconds: new(1)}
	l.commit(labNodes...)
	l.until("runs", "n1", run("1"))
	for _, h := range labNodes {
		h.run(t, "routingmesh-agent uninstall")
	}
	if out := labHost("n1").run(t, "docker ps -a --format '{{.Names}}'"); out != "mine" {
		t.Errorf("docker has %q", out)
	}
	labHost("n1").run(t, "docker rm -f mine") // its link is no part of the footprint
	if n, _ := strconv.Atoi(labHost("n2").run(t, "podman ps -aq | wc -l")); n != 0 {
		t.Errorf("podman has %d containers", n)
	}
}
