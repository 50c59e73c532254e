// Command testlog reads go test -json on stdin and shows what go test shows without -json: a line per package, and the
// output of what failed. How long each test took is added to the file RM_TEST_TIMES, where that is set: make test
// prints the slowest of all its phases.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout, os.Getenv("RM_TEST_TIMES")); err != nil {
		fmt.Fprintf(os.Stderr, "testlog: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, times string) error {
	l := testLog{out: out, output: map[test][]string{}, took: map[test]float64{}}
	if err := l.read(in); err != nil || times == "" {
		return err
	}
	f, err := os.OpenFile(times, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, l.times())
	return errors.Join(err, f.Close())
}

// event is a line of go test -json (go doc test2json; build output as of go help buildjson).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// test is a test of a package; with an empty name, the package itself.
type test struct{ pkg, name string }

type testLog struct {
	out    io.Writer
	output map[test][]string // of what has not ended
	took   map[test]float64
}

func (l *testLog) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			l.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *testLog) line(line string) {
	var e event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
		l.print(line) // a program's own output, past the testing package
		return
	}
	t := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		l.output[t] = append(l.output[t], e.Output)
	case "build-output":
		l.print(e.Output)
	case "pass", "skip", "fail":
		if t.name == "" {
			l.packageEnds(t, e.Action == "fail")
			return
		}
		l.took[t] = e.Elapsed
		if e.Action == "fail" {
			l.flush(t)
		}
		delete(l.output, t)
	}
}

// packageEnds shows a package's last line; of one that failed all it has said, and what the tests had said that it
// took with it.
func (l *testLog) packageEnds(p test, failed bool) {
	if failed {
		var cut []test
		for t := range l.output {
			if t.pkg == p.pkg && t.name != "" {
				cut = append(cut, t)
			}
		}
		slices.SortFunc(cut, func(a, b test) int { return strings.Compare(a.name, b.name) })
		for _, t := range cut {
			l.flush(t)
			delete(l.output, t)
		}
		l.flush(p)
	} else if all := l.output[p]; len(all) > 0 {
		l.print(all[len(all)-1])
	}
	delete(l.output, p)
}

// flush shows what a test has said, without the lines of go test -v.
func (l *testLog) flush(t test) {
	for _, s := range l.output[t] {
		if !strings.HasPrefix(s, "=== ") {
			l.print(s)
		}
	}
}

func (l *testLog) print(s string) { _, _ = io.WriteString(l.out, s) } // nobody reads it any more: the tests' result counts

// times are a line per test, for sort -n. Tests that have subtests are left out.
func (l *testLog) times() string {
	parents := map[test]bool{}
	for t := range l.took {
		for name := t.name; strings.Contains(name, "/"); {
			name = name[:strings.LastIndexByte(name, '/')]
			parents[test{t.pkg, name}] = true
		}
	}
	var lines []string
	for t, seconds := range l.took {
		if !parents[t] {
			_, pkg, _ := strings.Cut(t.pkg, "terraform-provider-routingmesh/")
			lines = append(lines, fmt.Sprintf("%7.1f s  %s %s\n", seconds, pkg, t.name))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
