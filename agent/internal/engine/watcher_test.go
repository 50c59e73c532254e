package engine

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// child starts a process and returns a pidfd of it.
func child(t *testing.T) (cmd *exec.Cmd, fd int) {
	cmd = exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd) })
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal("no pidfd: ", err)
	}
	return cmd, fd
}

// TestWatcher_Ends_ToldOnce: a zombie has ended, and a process that had ended before is told of, too.
func TestWatcher_Ends_ToldOnce(t *testing.T) {
	w, err := newWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	told := make(chan string, 10)
	first, fd := child(t)
	w.watch(fd, func() { told <- "first" })
	second, fd := child(t)
	forgotten := w.watch(fd, func() { told <- "forgotten" })
	third, fd := child(t)
	end(third)
	w.watch(fd, func() { told <- "third" })
	if got := <-told; got != "third" {
		t.Errorf("%s has ended", got)
	}
	w.unwatch(forgotten)
	w.unwatch(forgotten)
	w.unwatch(unwatched)
	end(second)
	began := time.Now()
	_ = first.Process.Kill() // nobody waits for it yet
	if got := <-told; got != "first" {
		t.Errorf("%s has ended", got)
	}
	t.Logf("told after %s", time.Since(began))
	if len(told) > 0 || len(w.watched) > 0 {
		t.Errorf("%d more told, %d watched", len(told), len(w.watched))
	}
}

// TestWatcher_ClosedOrNil_TakesTheFD: the caller need not close it.
func TestWatcher_ClosedOrNil_TakesTheFD(t *testing.T) {
	closed, err := newWatcher()
	if err != nil {
		t.Fatal(err)
	}
	_, fd := child(t)
	open := pidfds(t)
	closed.watch(fd, func() {})
	if closed.close(); pidfds(t) != open-1 {
		t.Error("its pidfd is open after close")
	}
	for _, w := range []*watcher{closed, nil} {
		_, fd := child(t)
		open := pidfds(t)
		if token := w.watch(fd, nil); token != unwatched || pidfds(t) != open-1 {
			t.Errorf("%v: token %d, or the pidfd is open", w == nil, token)
		}
		w.unwatch(1)
	}
	var none *watcher
	if none.close(); none.watch(-1, nil) != unwatched {
		t.Error("something is watched")
	}
}
