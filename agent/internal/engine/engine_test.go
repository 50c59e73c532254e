package engine

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/procstat"
)

const (
	idA = "aaaaaaaaaaaa8a6f1b0f3a4e2d5c6b7a8f9e0d1c2b3a49586776655443322110"
	idB = "bbbbbbbbbbbb8a6f1b0f3a4e2d5c6b7a8f9e0d1c2b3a49586776655443322110"
	idC = "cccccccccccc8a6f1b0f3a4e2d5c6b7a8f9e0d1c2b3a49586776655443322110"
)

// TestList_EachEngine_Found: what each engine's answers say is what Running says, and each is asked
// in a version that it speaks.
func TestList_EachEngine_Found(t *testing.T) {
	for profile, version := range profiles {
		t.Run(profile, func(t *testing.T) {
			h := newHost(t)
			pid, _ := h.process()
			name, file := "docker", "run/docker.sock"
			if strings.HasPrefix(profile, "podman") {
				name, file = "podman", "run/podman/podman.sock"
			}
			f := newFake(t, filepath.Join(h.root, file), profile)
			f.set(&fakeContainer{id: idA, pid: pid})
			h.begin()
			h.runs(pid)
			got := h.Running()[0]
			stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
			_, start, _ := procstat.Parse(stat)
			want := Container{Engine: name, ID: idA, Name: "web", Created: 1764490000, Process: Process{pid, start}}
			labels := map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
			if !maps.Equal(got.Labels, labels) {
				t.Errorf("labels %v", got.Labels)
			}
			if got.Labels = nil; !equal(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			h.eventually("ready", h.Ready)
			if f.count("/v"+version+"/containers/json") == 0 || f.count("/v"+version+"/events") == 0 {
				t.Errorf("requests %v", f.requests)
			}
			if p := h.Present(); !slices.Equal(p, []string{name}) || len(h.Faults()) > 0 {
				t.Errorf("present %v, faults %v", p, h.Faults())
			}
		})
	}
}

func equal(a, b Container) bool {
	return a.Engine == b.Engine && a.ID == b.ID && a.Name == b.Name && a.Created == b.Created && a.Process == b.Process && a.HostNetwork == b.HostNetwork
}

// TestEvent_EachEngine_Followed: events alone have a start and a removal found.
func TestEvent_EachEngine_Followed(t *testing.T) {
	for profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			h := newHost(t)
			f := h.docker(profile)
			h.begin()
			h.eventually("ready", h.Ready)
			pid, _ := h.process()
			f.set(&fakeContainer{id: idA, pid: pid})
			f.event(idA, "start")
			h.runs(pid)
			f.set()
			f.event(idA, "destroy")
			h.runs()
		})
	}
}

// TestKill_ListedStill_LeavesAtOnce: the pidfd alone tells, and what the engine says is stale.
func TestKill_ListedStill_LeavesAtOnce(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	pid, kill := h.process()
	other, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid}, &fakeContainer{id: idB, pid: other})
	h.begin()
	h.runs(pid, other)
	began, lists := time.Now(), f.count("/containers/json")
	kill()
	h.runs(other)
	t.Logf("it left after %s", time.Since(began))
	h.eventually("the list is asked again", func() bool { return f.count("/containers/json") > lists+2 })
	h.runs(other)
	if n := f.count(idB + "/json"); n != 1 {
		t.Errorf("the other was inspected %d times", n)
	}
}

// TestEnded_SamePIDShown_NotTaken: an engine that shows an ended process's PID for the same start is not
// believed, though another process may have the PID by now.
func TestEnded_SamePIDShown_NotTaken(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	h.begin()
	h.runs(pid)
	h.mu.Lock()
	k := h.sessions()[0].containers[idA]
	h.sessions()[0].end(k) // as by the watcher, but the process is "another" and lives
	h.mu.Unlock()
	inspects := f.count(idA + "/json")
	f.event(idA, "die")
	h.eventually("it is inspected again", func() bool { return f.count(idA+"/json") > inspects+1 })
	h.runs()
	f.change(func() { f.containers[0].starts++ })
	f.event(idA, "start")
	h.runs(pid)
}

// TestRestart_SameID_NewProcess: by events, and by the end of the process alone.
func TestRestart_SameID_NewProcess(t *testing.T) {
	for _, events := range []bool{true, false} {
		t.Run("events="+strconv.FormatBool(events), func(t *testing.T) {
			h := newHost(t)
			f := h.docker("docker-29")
			pid, kill := h.process()
			f.set(&fakeContainer{id: idA, pid: pid})
			h.begin()
			h.runs(pid)
			next, _ := h.process()
			kill()
			h.runs()
			if events {
				f.event(idA, "die")
			}
			f.change(func() { f.containers[0].pid, f.containers[0].starts = next, 1 })
			if events {
				f.event(idA, "start")
			}
			h.runs(next)
		})
	}
}

// TestRestart_NewProcessWhileOldLives_Replaced: the event has the container inspected though its old
// process, which may be slow to end, is there.
func TestRestart_NewProcessWhileOldLives_Replaced(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	h.begin()
	h.runs(pid)
	f.event(idA, "start") // of the process that is known
	h.eventually("it is inspected again", func() bool { return f.count(idA+"/json") == 2 })
	h.runs(pid)
	next, kill := h.process()
	f.change(func() { f.containers[0].pid, f.containers[0].starts = next, 1 })
	f.event(idA, "restart")
	h.runs(next)
	kill()
	h.runs()
}

// TestEngineRestart_LiveRestore_Stays: containers outlive their engine, and those that end
// meanwhile leave.
func TestEngineRestart_LiveRestore_Stays(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	pid, kill := h.process()
	other, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid}, &fakeContainer{id: idB, pid: other})
	h.begin()
	h.runs(pid, other)
	f.close()
	h.eventually("not present", func() bool { return len(h.Present()) == 0 })
	h.runs(pid, other)
	kill()
	h.runs(other)
	if len(h.Faults()) > 0 {
		t.Errorf("a missing socket is a fault: %v", h.Faults())
	}
	third, _ := h.process()
	f.set(&fakeContainer{id: idB, pid: other}, &fakeContainer{id: idC, pid: third})
	f.listen()
	h.runs(other, third)
	if n := f.count(idB + "/json"); n != 1 {
		t.Errorf("a container that runs on was inspected %d times", n)
	}
}

// TestSocket_GoneWithItsContainers_Forgotten: and it is Ready without.
func TestSocket_GoneWithItsContainers_Forgotten(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	pid, kill := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	h.begin()
	h.runs(pid)
	f.close()
	kill()
	h.eventually("forgotten", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.round.sessions) == 0
	})
	if !h.Ready() {
		t.Error("not ready")
	}
}

func TestSockets_None_Ready(t *testing.T) {
	h := newHost(t)
	if h.Ready() {
		t.Error("ready before Want")
	}
	h.begin()
	h.eventually("ready", h.Ready)
	if len(h.Running()) > 0 || len(h.Faults()) > 0 || len(h.Present()) > 0 {
		t.Errorf("%v %v %v", h.Running(), h.Faults(), h.Present())
	}
}

// TestInspect_Hangs_HoldsUpNobody: neither another socket nor the engine's other containers.
func TestInspect_Hangs_HoldsUpNobody(t *testing.T) {
	h := newHost(t)
	h.times.request = time.Hour
	f := h.docker("docker-28")
	p := newFake(t, filepath.Join(h.root, "run/podman/podman.sock"), "podman-4.3")
	a, _ := h.process()
	b, kill := h.process()
	c, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: a}, &fakeContainer{id: idB, pid: b})
	f.hang[idA] = true
	p.set(&fakeContainer{id: idC, pid: c})
	h.begin()
	h.runs(b, c)
	kill()
	h.runs(c)
	if h.Ready() {
		t.Error("ready, though a container is not known")
	}
}

// TestInspect_TimesOut_TriedAgain: it is left out, the engine is ready without it, and it comes when it answers.
func TestInspect_TimesOut_TriedAgain(t *testing.T) {
	h := newHost(t)
	h.times.request = 100 * time.Millisecond
	f := h.docker("docker-28")
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	f.hang[idA] = true
	h.begin()
	h.eventually("ready", h.Ready)
	h.eventually("tried again", func() bool { return f.count(idA+"/json") > 2 })
	h.runs()
	if n := h.log.count("container is left out"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	f.change(func() { f.hang[idA] = false })
	h.runs(pid)
}

// TestNotRunning_LeftOut: without a process, with an impossible one, with one that has ended.
func TestNotRunning_LeftOut(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	ended, kill := h.process()
	kill()
	live, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: 0}, &fakeContainer{id: idB, pid: ended}, &fakeContainer{id: idC, pid: 1},
		&fakeContainer{id: strings.Repeat("d", 64), pid: -5}, &fakeContainer{id: strings.Repeat("e", 64), pid: 1 << 40},
		&fakeContainer{id: strings.Repeat("f", 64), pid: live, stopped: true}, &fakeContainer{id: strings.Repeat("0", 64), pid: live})
	h.begin()
	h.eventually("ready", h.Ready)
	h.runs(live)
}

func TestHostNetwork_Said(t *testing.T) {
	for name, test := range map[string]struct {
		mode      string
		namespace string
		want      bool
	}{
		"by its mode":       {"host", "/proc/self/stat", true},
		"by its namespace":  {"container:" + idB, "/proc/self/ns/net", true},
		"one of its own":    {"bridge", "/proc/self/stat", false},
		"none but loopback": {"none", "/proc/self/stat", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.hostNamespace(test.namespace)
			f := h.docker("docker-28")
			pid, _ := h.process()
			f.set(&fakeContainer{id: idA, pid: pid, network: test.mode})
			h.begin()
			h.runs(pid)
			if got := h.Running()[0].HostNetwork; got != test.want {
				t.Errorf("HostNetwork is %v", got)
			}
		})
	}
}

// TestWantFalse_ClosesEverything: the connections and the pidfds; and Want(true) begins again.
func TestWantFalse_ClosesEverything(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	before := pidfds(t)
	h.begin()
	h.runs(pid)
	if pidfds(t) != before+1 {
		t.Errorf("%d pidfds, want one more than %d", pidfds(t), before)
	}
	h.Want(false)
	if len(h.Running()) > 0 || h.Ready() || len(h.Present()) > 0 {
		t.Error("something is known at once after Want(false)")
	}
	h.eventually("nothing is open", func() bool { return f.subscribers() == 0 && pidfds(t) == before })
	asked := f.count("")
	h.Want(true)
	h.runs(pid)
	if f.count("") <= asked {
		t.Error("nothing was asked again")
	}
	h.stop()
	if f.eventuallyNone(); pidfds(t) != before {
		t.Errorf("%d pidfds after Run, %d before", pidfds(t), before)
	}
	h.runs(pid) // what was known stays
}

func (f *fake) eventuallyNone() {
	for deadline := time.Now().Add(10 * time.Second); f.subscribers() > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	if f.subscribers() > 0 {
		f.t.Error("a stream of events is open")
	}
}

// pidfds is how many this process has open, but for those of os/exec: these are counted before.
func pidfds(t *testing.T) (n int) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if to, _ := os.Readlink("/proc/self/fd/" + file.Name()); strings.Contains(to, "pidfd") {
			n++
		}
	}
	return n
}

// TestEvents_OfNoInterest_NoList: health checks have several events every few seconds.
func TestEvents_OfNoInterest_NoList(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	h.begin()
	h.eventually("ready", func() bool { return h.Ready() && f.subscribers() == 1 })
	lists := f.count("/containers/json")
	for range 100 {
		f.event(idA, "exec_create: /bin/sh -c check")
		f.event(idA, "health_status: healthy")
	}
	f.event(idA, "rename")
	h.eventually("one list", func() bool { return f.count("/containers/json") == lists+1 })
	for range 50 {
		f.event(idA, "start")
	}
	h.eventually("another list", func() bool { return f.count("/containers/json") > lists+1 })
	if n := f.count("/containers/json") - lists; n > 25 {
		t.Errorf("50 events in a burst are %d lists", n)
	}
}

// TestEvents_Refused_Polled: a Podman with events_logger "none".
func TestEvents_Refused_Polled(t *testing.T) {
	h := newHost(t)
	f := h.docker("podman-5.8")
	f.override = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/events") {
			http.Error(w, `{"message":"cannot read events with the \"none\" logger"}`, http.StatusInternalServerError)
			return true
		}
		return false
	}
	h.begin()
	h.eventually("ready", h.Ready)
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	h.runs(pid)
	if n := h.log.count("has no events"); n != 1 || len(h.Faults()) > 0 || f.count("/version") != 1 {
		t.Errorf("logged %d times, faults %v, %d attempts", n, h.Faults(), f.count("/version"))
	}
}

// TestSubscription_Late_SecondList: Docker begins to answer before it subscribes, so an event may be lost.
func TestSubscription_Late_SecondList(t *testing.T) {
	h := newHost(t)
	h.times.settle = 50 * time.Millisecond
	f := h.docker("docker-28")
	h.begin()
	h.eventually("ready", h.Ready)
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid}) // no event
	h.runs(pid)
}

// TestStream_Ends_ListedAgain: an engine that ends its events, as an idle Podman does, is no fault.
func TestStream_Ends_ListedAgain(t *testing.T) {
	h := newHost(t)
	f := h.docker("podman-4.3")
	f.override = func(w http.ResponseWriter, r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/events") }
	h.begin()
	h.eventually("several lists", func() bool { return f.count("/containers/json") > 3 })
	if len(h.Faults()) > 0 || !h.Ready() {
		t.Errorf("ready %v, faults %v", h.Ready(), h.Faults())
	}
}

// TestPidfd_Missing_EventsTell: before Linux 5.3.
func TestPidfd_Missing_EventsTell(t *testing.T) {
	h := newHost(t)
	h.pidfdOpen = func(int, int) (int, error) { return -1, unix.ENOSYS }
	f := h.docker("docker-28")
	pid, kill := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	h.begin()
	h.runs(pid)
	next, _ := h.process()
	kill()
	f.event(idA, "die")
	h.runs()
	f.change(func() { f.containers[0].pid, f.containers[0].starts = next, 1 })
	f.event(idA, "start")
	h.runs(next)
}

// TestLabels_Changed_Told: Running has the new ones, a copy for each caller.
func TestLabels_Changed_Told(t *testing.T) {
	h := newHost(t)
	f := h.docker("podman-5.8")
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid, labels: map[string]string{"a": "1"}})
	h.begin()
	h.runs(pid)
	h.Running()[0].Labels["a"] = "written"
	if got := h.Running()[0].Labels["a"]; got != "1" {
		t.Errorf("a caller has written %q", got)
	}
	for len(h.Changed()) > 0 {
		<-h.Changed()
	}
	f.change(func() { f.containers[0].name = "other" })
	f.event(idA, "rename")
	<-h.Changed()
	if got := h.Running()[0].Name; got != "other" {
		t.Errorf("name %q", got)
	}
}
