package engine

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher tells when processes end: one goroutine waits for all of their pidfds.
type watcher struct {
	epoll, wakeup int
	done          chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	last    int32
	watched map[int32]watch // by a number that is not used again: an fd may be
	closed  bool
}

type watch struct {
	fd    int
	ended func()
}

// wakeupToken is the number of the eventfd that ends the goroutine. unwatched is what stands for
// a process that is not watched.
const (
	wakeupToken = 0
	unwatched   = 0
)

// newWatcher returns nil with an error: a nil watcher watches nothing.
func newWatcher() (*watcher, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakeup, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	w := &watcher{epoll: epoll, wakeup: wakeup, done: make(chan struct{}), watched: map[int32]watch{}}
	if err := w.add(wakeup, wakeupToken); err != nil {
		_ = unix.Close(wakeup)
		_ = unix.Close(epoll)
		return nil, err
	}
	go w.loop()
	return w, nil
}

func (w *watcher) add(fd int, token int32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: token}))
}

// watch calls ended, once and in the goroutine of the watcher, when the process of the pidfd has ended. It
// owns fd from now on. The number it returns is for unwatch.
func (w *watcher) watch(fd int, ended func()) (token int32) {
	if fd < 0 {
		return unwatched
	}
	if w == nil {
		_ = unix.Close(fd)
		return unwatched
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = max(w.last+1, 1)
	if _, taken := w.watched[w.last]; taken || w.closed || w.add(fd, w.last) != nil {
		_ = unix.Close(fd)
		return unwatched
	}
	w.watched[w.last] = watch{fd, ended}
	return w.last
}

// unwatch forgets a process. Its ended may be under way already.
func (w *watcher) unwatch(token int32) {
	if w != nil {
		w.take(token)
	}
}

// take forgets a process and returns what was to be called.
func (w *watcher) take(token int32) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	watched, ok := w.watched[token]
	if !ok {
		return nil
	}
	delete(w.watched, token)
	_ = unix.Close(watched.fd) // takes it out of the epoll: no other fd is of the same pidfd
	return watched.ended
}

func (w *watcher) loop() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return // never: the epoll is open until the loop has ended
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == wakeupToken {
				return
			}
			if ended := w.take(event.Fd); ended != nil {
				ended()
			}
		}
	}
}

// close ends the goroutine and closes every pidfd.
func (w *watcher) close() {
	if w == nil {
		return
	}
	_, _ = unix.Write(w.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // any number but 0 and the largest, in either byte order
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, watched := range w.watched {
		_ = unix.Close(watched.fd)
	}
	clear(w.watched)
	_ = unix.Close(w.wakeup)
	_ = unix.Close(w.epoll)
}
