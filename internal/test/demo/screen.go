package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Screen tells what happens, with the minutes and seconds since the start at the left. A step that is silent for long
// says that it still runs.
type Screen struct {
	out    io.Writer
	colour bool
	start  time.Time

	mu   sync.Mutex
	last time.Time
}

const (
	indent = "        "
	quiet  = 20 * time.Second
)

func newScreen(out *os.File, getenv func(string) string) *Screen {
	info, err := out.Stat()
	tty := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &Screen{out: out, colour: tty && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb", start: time.Now()}
}

func (s *Screen) style(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *Screen) dim(text string) string  { return s.style("2", text) }
func (s *Screen) bold(text string) string { return s.style("1", text) }
func (s *Screen) good(text string) string { return s.style("32", text) }
func (s *Screen) bad(text string) string  { return s.style("31", text) }

func (s *Screen) elapsed() string {
	d := time.Since(s.start)
	return fmt.Sprintf("%2d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

func (s *Screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	fmt.Fprint(s.out, text)
}

// Title is the first line.
func (s *Screen) Title(text string) { s.print("\n" + indent + s.bold(text) + "\n") }

// Step runs a part of the demo under its heading.
func (s *Screen) Step(heading string, run func() error) error {
	s.print("\n" + s.dim(" "+s.elapsed()) + "  " + s.bold(heading) + "\n")
	done := make(chan struct{})
	go s.heartbeat(done)
	err := run()
	close(done)
	if err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(heading[:1])+heading[1:], err)
	}
	return nil
}

func (s *Screen) heartbeat(done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			s.mu.Lock()
			silent := time.Since(s.last) >= quiet
			s.mu.Unlock()
			if silent {
				s.Detail("… " + strings.TrimSpace(s.elapsed()))
			}
		}
	}
}

// Detail is a line of something that runs below: a build, Terraform.
func (s *Screen) Detail(text string) {
	for line := range strings.Lines(text) {
		s.print(indent + s.dim("│ "+strings.TrimRight(line, "\n")) + "\n")
	}
}

// Say is a line of the demo itself.
func (s *Screen) Say(text string) {
	for line := range strings.Lines(text) {
		s.print(indent + strings.TrimRight(line, "\n") + "\n")
	}
}

// OK is a result that is as it should be.
func (s *Screen) OK(text string) { s.print(indent + s.good("✓") + " " + text + "\n") }

// Table prints columns; the last one may be of any length.
func (s *Screen) Table(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for i, row := range rows {
		var b strings.Builder
		for j, cell := range row {
			b.WriteString(cell)
			if j < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[j]-len([]rune(cell))+3))
			}
		}
		if i == 0 {
			s.Say(s.dim(b.String()))
		} else {
			s.Say(b.String())
		}
	}
}
