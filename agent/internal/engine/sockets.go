package engine

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// source is an engine's socket.
type source struct {
	name string
	path string // without Root
	// uid is the user whose engine it is, anyUser for one of the system.
	uid int
}

const anyUser = -1

// systemSources come in this order: podman-docker has /run/docker.sock link to Podman's
// socket, and that engine is Podman.
var systemSources = []source{
	{"podman", "/run/podman/podman.sock", anyUser},
	{"docker", "/run/docker.sock", anyUser},
	{"docker", "/var/run/docker.sock", anyUser},
}

// sources returns the sockets that exist, each once.
func (e *Engines) sources() []source {
	var found []source
	var files []fs.FileInfo
	add := func(s source, file fs.FileInfo, err error) {
		same := func(other fs.FileInfo) bool { return os.SameFile(file, other) }
		if err == nil && file.Mode().Type() == fs.ModeSocket && !slices.ContainsFunc(files, same) {
			found, files = append(found, s), append(files, file)
		}
	}
	for _, s := range systemSources {
		file, err := os.Stat(filepath.Join(e.root, s.path))
		add(s, file, err)
	}
	users, _ := os.ReadDir(filepath.Join(e.root, "/run/user")) // missing without systemd-logind
	for _, user := range users {
		uid, err := strconv.ParseUint(user.Name(), 10, 31)
		if err != nil {
			continue
		}
		s := source{"podman of user " + user.Name(), "/run/user/" + user.Name() + "/podman/podman.sock", int(uid)}
		file, err := os.Lstat(filepath.Join(e.root, s.path)) // a link of a user's may lead anywhere
		add(s, file, err)
	}
	return found
}

// serve keeps a session for each socket until the round is over.
func (e *Engines) serve(ctx context.Context, r *round) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	w, err := newWatcher()
	if err != nil {
		e.log.Warn("the ends of containers are noticed later: their processes cannot be watched", "err", err)
	}
	defer func() {
		cancel()
		running.Wait()
		w.close()
	}()
	timer := time.NewTicker(e.times.look)
	defer timer.Stop()
	for e.current() == r {
		for _, s := range e.look(r, w, &running) {
			ctx, cancel := context.WithCancel(ctx)
			s.stop = cancel
			running.Go(func() { s.run(ctx) })
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-timer.C:
		}
	}
}

// look compares the sockets that exist with the sessions. It ends sessions whose socket is gone
// as soon as no container of theirs runs, and returns the new ones.
func (e *Engines) look(r *round, w *watcher, running *sync.WaitGroup) (begin []*session) {
	sources := e.sources()
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := !r.looked
	r.looked = true
	exists := map[string]bool{}
	for _, source := range sources {
		exists[source.path] = true
		if r.sessions[source.path] == nil {
			s := newSession(e, source, w, running)
			r.sessions[source.path] = s
			begin = append(begin, s)
			changed = true
		}
	}
	for path, s := range r.sessions {
		changed = changed || s.present != exists[path]
		s.present = exists[path]
		if !s.present && !s.anyRuns() {
			s.stop()
			delete(r.sessions, path)
		}
	}
	if changed {
		signal(e.changed)
	}
	return begin
}
