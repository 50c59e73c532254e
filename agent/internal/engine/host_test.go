package engine

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// host is a folder that stands for /, with Engines that look there.
type host struct {
	t    *testing.T
	root string
	*Engines
	log  *logged
	stop func()
}

// logged is a log that may be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// testTimes have no list come but for a reason: an event, a process's end, an error.
var testTimes = times{
	look: 10 * time.Millisecond, resync: time.Hour, poll: 10 * time.Millisecond, debounce: 2 * time.Millisecond,
	retryMin: 5 * time.Millisecond, retryMax: 40 * time.Millisecond, request: 5 * time.Second,
	headers: 50 * time.Millisecond, settle: time.Hour,
}

// newHost returns a host without engines; nothing runs before begin.
func newHost(t *testing.T) *host {
	root, err := os.MkdirTemp("/tmp", "engine") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	h := &host{t: t, root: root, log: &logged{}}
	if err := os.MkdirAll(filepath.Join(root, "proc/1/ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.hostNamespace("/proc/self/stat") // no process's namespace
	h.Engines = New(Options{Root: root, Log: slog.New(slog.NewTextHandler(h.log, nil))})
	h.times = testTimes
	return h
}

// hostNamespace makes file the namespace of PID 1.
func (h *host) hostNamespace(file string) {
	link := filepath.Join(h.root, "proc/1/ns/net")
	os.Remove(link)
	if err := os.Symlink(file, link); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) begin() {
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	h.Want(true)
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	h.stop = func() { cancel(); <-done }
	h.t.Cleanup(h.stop)
}

// process starts a process that stands for a container's, and returns its PID and what kills it.
func (h *host) process() (pid int, kill func()) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	kill = sync.OnceFunc(func() { end(cmd) })
	h.t.Cleanup(kill)
	pid = cmd.Process.Pid
	h.show(pid)
	return pid, kill
}

// end kills a process of a test's. Its Wait says that it was killed, which is no news.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// show has a process in the host's /proc.
func (h *host) show(pid int) {
	name := strconv.Itoa(pid)
	if err := os.Symlink("/proc/"+name, filepath.Join(h.root, "proc", name)); err != nil && !os.IsExist(err) {
		h.t.Fatal(err)
	}
}

func (h *host) docker(profile string) *fake {
	return newFake(h.t, filepath.Join(h.root, "run/docker.sock"), profile)
}

// eventually waits for a condition, which is to come true without a long wait.
func (h *host) eventually(what string, condition func() bool) {
	h.t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			h.log.mu.Lock()
			defer h.log.mu.Unlock()
			h.t.Fatalf("never: %s\nrunning %+v\nready %v, faults %v\n%s", what, h.Running(), h.Ready(), h.Faults(), h.log.text.String())
		case <-time.After(time.Millisecond):
		}
	}
}

// pids are those of the containers that run.
func (h *host) pids() (pids []int) {
	for _, c := range h.Running() {
		pids = append(pids, c.Process.PID)
	}
	return pids
}

func (h *host) runs(want ...int) {
	h.t.Helper()
	h.eventually("these processes run: "+fmtInts(want), func() bool { return fmtInts(h.pids()) == fmtInts(want) })
}

func fmtInts(ns []int) string {
	var b strings.Builder
	for _, n := range ns {
		b.WriteString(strconv.Itoa(n) + " ")
	}
	return b.String()
}
