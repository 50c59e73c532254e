package sshdial

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

const (
	// maxStderr is how much of a remote command's complaint is kept.
	maxStderr = 8 << 10
	// maxNoise is how much a login may print before our command runs.
	maxNoise = 64 << 10
	// maxOutput is how much of a command's output is kept.
	maxOutput = 1 << 20
)

// afterMark reads what follows the line of a mark. What comes before it is kept
// for messages, and may not be endless.
type afterMark struct {
	from  io.Reader
	mark  string
	found func() // called once

	mu    sync.Mutex
	noise []byte // all that was read so far, while the mark is missing
	rest  []byte // read past the mark, and not yet returned
	past  bool
}

func (a *afterMark) Read(p []byte) (int, error) {
	for !a.isPast() {
		var buf [4 << 10]byte
		n, err := a.from.Read(buf[:])
		if a.search(buf[:n]); err != nil && !a.isPast() {
			return 0, err
		}
	}
	if len(a.rest) > 0 {
		n := copy(p, a.rest)
		a.rest = a.rest[n:]
		return n, nil
	}
	return a.from.Read(p)
}

func (a *afterMark) isPast() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.past
}

func (a *afterMark) search(more []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noise = append(a.noise, more...)
	before, rest, ok := bytes.Cut(a.noise, []byte(a.mark+"\n"))
	if ok {
		a.noise, a.rest, a.past = before, rest, true
		a.found()
		return
	}
	// The last of it is enough to find a mark that is not whole yet.
	if n := len(a.noise) - maxNoise; n > 0 {
		a.noise = append(a.noise[:maxNoise/2], a.noise[maxNoise/2+n:]...)
	}
}

// printed is what came before the mark, and whether the mark came.
func (a *afterMark) printed() (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return string(a.noise), a.past
}

// head keeps the beginning of what is written to it, and drops the rest: a login
// may print without end.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), maxOutput-h.Len())])
	return len(p), nil
}

// tail keeps the end of what is written to it; safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - maxStderr; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// after is what follows the last line that ends with one of the marks.
func after(text string, marks ...string) string {
	for _, mark := range marks {
		if i := strings.LastIndex(text, mark+"\n"); i >= 0 {
			text = text[i+len(mark)+1:]
		}
	}
	return text
}
