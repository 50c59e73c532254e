package meshclient

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

const (
	// maxStderr is how much of a remote command's complaint is kept.
	maxStderr = 8 << 10
	// maxNoise is how much a login may print before our command runs.
	maxNoise = 64 << 10
	// maxOutput is how much of a command's output is kept.
	maxOutput = 1 << 20
	// maxQuote is how many characters of a host's words stand in a message.
	maxQuote = 800
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

// escapes are the terminal's: colours, titles.
var escapes = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~])")

// clean makes a host's words fit for a message: without the terminal's escapes
// and other characters that are not printable, in one line, and not too long.
func clean(text string) string {
	quoted := []rune(strings.Join(printableLines(text), "; "))
	if len(quoted) > maxQuote {
		return string(quoted[:maxQuote/2]) + " … " + string(quoted[len(quoted)-maxQuote/2:])
	}
	return string(quoted)
}

// cleanLines is clean for text that keeps its lines, and is bounded already.
func cleanLines(text string) string { return strings.Join(printableLines(text), "\n") }

func printableLines(text string) []string {
	text = escapes.ReplaceAllString(strings.ToValidUTF8(text, "?"), "")
	var lines []string
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimRight(strings.Map(printable, line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// printable makes a space of a tab, and nothing of what cannot be seen.
func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case unicode.IsPrint(r):
		return r
	}
	return -1
}
