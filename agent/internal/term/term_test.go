package term

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// shown is what a page of n columns has, with colours or without.
func shown(t *testing.T, columns int, color bool, fill func(p *Page)) string {
	t.Helper()
	var b bytes.Buffer
	p := On(Screen{Out: &b, Columns: columns, Color: color})
	fill(p)
	if err := p.Show(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFold(t *testing.T) {
	got := shown(t, 200, false, func(p *Page) {
		p.Fold(Cells("ok    "), "      ", strings.Repeat("übung ", 40)+strings.Repeat("x", 2*proseColumns))
	})
	for i, line := range strings.Split(strings.TrimSuffix(got, "\n"), "\n") {
		if !strings.HasPrefix(line, map[bool]string{true: "ok    ", false: "      "}[i == 0]) {
			t.Errorf("line %d: %q", i, line)
		}
		if n := utf8.RuneCountInString(line); n > proseColumns && !strings.Contains(line, "xxx") || strings.HasSuffix(line, " ") {
			t.Errorf("line %d has %d columns: %q", i, n, line)
		}
	}
	if got := strings.Fields(got); len(got) != 42 {
		t.Errorf("%d words", len(got))
	}
	for _, tt := range []struct {
		columns int
		color   bool
		text    string
		want    string
	}{
		{80, false, "", "FAIL\n"},
		{20, false, "one two three four", "FAIL  one two three\n      four\n"},
		{20, true, "one two three four", "\x1b[1;31mFAIL\x1b[0m  one two three\n      four\n"},
		{20, true, "a\x1b[2Jb", "\x1b[1;31mFAIL\x1b[0m  ab\n"}, // of a host
	} {
		got := shown(t, tt.columns, tt.color, func(p *Page) { p.Fold([]Cell{{"FAIL", Bad}, {Text: "  "}}, "      ", tt.text) })
		if got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestTable(t *testing.T) {
	long := strings.Repeat("n", 30)
	for _, tt := range []struct {
		name  string
		color bool
		head  []string
		rows  [][]Cell
		want  string
	}{
		{"it fits", false, []string{"NAME", "PORTS"}, [][]Cell{Cells("web", "80/tcp 443/tcp"), Cells("a"+Together+"*", "")}, `
NAME  PORTS
web   80/tcp 443/tcp
a *
`},
		{"texts are wrapped between words", false, []string{"NAME", "PORTS", "WHY"}, [][]Cell{Cells("web", "80/tcp 443/tcp 8443/tcp", "no answer within 2s"), Cells("b", "1/tcp", "-")}, `
NAME  PORTS           WHY
web   80/tcp 443/tcp  no answer
      8443/tcp        within 2s
b     1/tcp           -
`},
		{"a name that is too wide has a line of its own", false, []string{"NAME", "NODE", "STATE"}, [][]Cell{Cells("web", "n1", "ok"), Cells(long, "n1", "filled"), Cells("web", long, "empty"), Cells(long, long, "x")}, `
NAME  NODE  STATE
web   n1    ok
` + long + `
      n1    filled
web   ` + long + `
            empty
` + long + `
      ` + long + `
            x
`},
		{"a word wider than the page is broken", false, []string{"NAME", "STATE"}, [][]Cell{Cells(strings.Repeat("x", 50), "ok")}, `
NAME  STATE
xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
xxxxxxxxxx
      ok
`},
		{"no head", false, nil, [][]Cell{Cells("Agent", "1.2.3 (0123456789ab), Linux 6.1.0 amd64")}, `
Agent  1.2.3 (0123456789ab), Linux 6.1.0
       amd64
`},
		{"colours, and none of others", true, []string{"NAME"}, [][]Cell{{{"a\x1b[31mb", Good}}}, "\n\x1b[1mNAME\x1b[0m\n\x1b[32mab\x1b[0m\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := "\n" + shown(t, 40, tt.color, func(p *Page) { p.Table(tt.head, tt.rows) })
			if got != tt.want {
				t.Errorf("%s\n%q", cmp.Diff(tt.want, got), got)
			}
		})
	}
}

// FuzzTable: no line is wider than the page, and every character is there in its order.
func FuzzTable(f *testing.F) {
	f.Add("web", "10.255.0.2", "process, unhealthy: connection refused", 60)
	f.Add(strings.Repeat("a", 63), strings.Repeat("b", 63), strings.Repeat("c", 253), 80)
	f.Add("ü\u00a0*", "\x1b[2J", "a\tb\r\nc", 61)
	f.Fuzz(func(t *testing.T, a, b, c string, columns int) {
		columns = minColumns + max(0, columns)%100
		rows := [][]Cell{Cells("x", "y", "z"), Cells(a, b, c), Cells(c, a, b)}
		got := shown(t, columns, false, func(p *Page) { p.Table([]string{"ONE", "TWO", "THREE"}, rows) })
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%d of %d columns: %q", n, columns, line)
			}
		}
		count := func(s string) map[rune]int {
			all := map[rune]int{}
			for _, r := range s {
				if r != ' ' && r != '\n' {
					all[r]++
				}
			}
			return all
		}
		want := "ONETWOTHREExyz"
		for range 2 {
			for _, text := range []string{a, b, c} {
				want += shown(t, 1<<20, false, func(p *Page) { p.Table(nil, [][]Cell{Cells(text)}) })
			}
		}
		if diff := cmp.Diff(count(want), count(got)); diff != "" {
			t.Errorf("%q, %q, %q:\n%s\n%s", a, b, c, got, diff)
		}
	})
}

// TestOf: colours are for terminals, unless NO_COLOR or TERM says otherwise.
func TestOf(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if s := Of(file, func(string) string { return "" }); s.Color || s.Terminal || s.Columns != Columns || s.Rows != 0 {
		t.Errorf("a file: %+v", s)
	}
	for columns, want := range map[string]int{"200": 200, "1": minColumns, "wide": Columns, "-3": Columns} {
		if s := Of(file, func(string) string { return columns }); s.Columns != want {
			t.Errorf("COLUMNS=%s: %d columns", columns, s.Columns)
		}
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	for _, tt := range []struct {
		columns     uint16
		environment map[string]string
		want        Screen
	}{
		{132, nil, Screen{Columns: 132, Rows: 24, Color: true, Terminal: true}},
		{0, nil, Screen{Columns: 80, Rows: 24, Color: true, Terminal: true}},
		{10, nil, Screen{Columns: minColumns, Rows: 24, Color: true, Terminal: true}},
		{80, map[string]string{"NO_COLOR": "1"}, Screen{Columns: 80, Rows: 24, Terminal: true}},
		{80, map[string]string{"TERM": "dumb"}, Screen{Columns: 80, Rows: 24}},
	} {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: tt.columns}); err != nil {
			t.Fatal(err)
		}
		got := Of(terminal, func(name string) string { return tt.environment[name] })
		if got.Out = nil; got != tt.want {
			t.Errorf("%d columns, %v: %+v, want %+v", tt.columns, tt.environment, got, tt.want)
		}
	}
}

// A program's text is cleaned also where it is no page.
func TestScreen_Write(t *testing.T) {
	var b bytes.Buffer
	if _, err := fmt.Fprint(Screen{Out: &b}, "a\x1b[2Jb"); err != nil || b.String() != "ab" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// watch runs Watch for a time, with what draw draws in each round, and returns what was shown.
func watch(t *testing.T, s Screen, lasting time.Duration, draw ...func(w io.Writer) error) (string, error) {
	t.Helper()
	var b bytes.Buffer
	s.Out = &b
	ctx, cancel := context.WithTimeout(t.Context(), lasting)
	defer cancel()
	round := 0
	err := Watch(ctx, func() Screen { return s }, func(_ context.Context, to Screen) error {
		round++
		return draw[min(round, len(draw))-1](to)
	})
	return b.String(), err
}

func saying(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestWatch_Terminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got, err := watch(t, Screen{Columns: 80, Rows: 6, Terminal: true}, 5*time.Second,
			saying("one\n"), func(io.Writer) error { return errors.New("the agent does not run") }, saying("1\n2\n3\n4\n"))
		want := "\x1b[2J"
		for round, text := range []string{"one\x1b[K\n", "Error: the agent does not run\x1b[K\n", "1\x1b[K\n2\x1b[K\n… 2 more lines: without --watch all are shown\x1b[K\n"} {
			at := start.Add(time.Duration(round) * Every).Format(time.TimeOnly)
			want += "\x1b[H" + at + ", every 2s; Ctrl-C ends it\x1b[K\n\x1b[K\n" + text + "\x1b[J"
		}
		if err != nil || got != want {
			t.Errorf("%v\n%q\n%q", err, got, want)
		}
	})
}

func TestWatch_Pipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := watch(t, Screen{Columns: 80}, 3*time.Second, saying("one\n"), saying("two\n"))
		start := time.Now().Add(-3 * time.Second)
		want := fmt.Sprintf("--- %s\none\n--- %s\ntwo\n", start.Format(time.RFC3339), start.Add(Every).Format(time.RFC3339))
		if err != nil || got != want {
			t.Errorf("%v\n%q\n%q", err, got, want)
		}
	})
}

// An error of the first round is the command's: nothing has been shown yet.
func TestWatch_FirstError(t *testing.T) {
	failure := errors.New("no such service")
	if got, err := watch(t, Screen{}, time.Minute, func(io.Writer) error { return failure }); !errors.Is(err, failure) || got != "" {
		t.Errorf("%v, %q", err, got)
	}
}
