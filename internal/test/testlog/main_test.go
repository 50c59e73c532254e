package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/routingmesh/terraform-provider-routingmesh/"

// stream is a run of go test -json: events as ACTION PACKAGE TEST OUTPUT.
func stream(events ...event) string {
	var b strings.Builder
	for _, e := range events {
		line, _ := json.Marshal(e)
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func said(pkg, name, output string) event {
	return event{Action: "output", Package: module + pkg, Test: name, Output: output}
}

func ended(action, pkg, name string, seconds float64) event {
	return event{Action: action, Package: module + pkg, Test: name, Elapsed: seconds}
}

func TestRun_ShowsAsGoTestDoes(t *testing.T) {
	in := stream(
		event{Action: "build-output", Output: "# broken\n"},
		said("a", "TestGood", "=== RUN   TestGood\n"), said("a", "TestGood", "    a_test.go:1: all is well\n"), said("a", "TestGood", "--- PASS: TestGood (2.00s)\n"),
		ended("pass", "a", "TestGood", 2),
		said("a", "", "PASS\n"), said("a", "", "ok  \ta\t2.1s\n"), ended("pass", "a", "", 2.1),
		said("b", "TestBad", "=== RUN   TestBad\n"), said("b", "TestBad/one", "    b_test.go:7: wrong\n"), said("b", "TestBad/one", "    --- FAIL: TestBad/one (0.50s)\n"),
		said("b", "TestBad/two", "    b_test.go:8: right\n"), ended("fail", "b", "TestBad/one", 0.5), ended("pass", "b", "TestBad/two", 11),
		said("b", "TestBad", "--- FAIL: TestBad (11.50s)\n"), ended("fail", "b", "TestBad", 11.5),
		said("b", "TestHangs", "panic: test timed out\n"),
		said("b", "", "FAIL\tb\t12s\n"), ended("fail", "b", "", 12),
	) + "a line of the program's\n"
	times := filepath.Join(t.TempDir(), "times")
	var out strings.Builder
	if err := run(strings.NewReader(in), &out, times); err != nil {
		t.Fatal(err)
	}
	want := "# broken\nok  \ta\t2.1s\n    b_test.go:7: wrong\n    --- FAIL: TestBad/one (0.50s)\n--- FAIL: TestBad (11.50s)\n" +
		"panic: test timed out\nFAIL\tb\t12s\na line of the program's\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("shown (-want +got):\n%s", d)
	}
	got, err := os.ReadFile(times)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("    0.5 s  b TestBad/one\n    2.0 s  a TestGood\n   11.0 s  b TestBad/two\n", string(got)); d != "" {
		t.Errorf("times (-want +got):\n%s", d)
	}
}

// Whatever a test's program prints, no line of it is lost and nothing panics.
func FuzzRun(f *testing.F) {
	f.Add(`{"Action":"fail","Package":"p"}` + "\n")
	f.Add("{\nno json")
	f.Fuzz(func(t *testing.T, in string) {
		var out strings.Builder
		if err := run(strings.NewReader(in), &out, ""); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(in, "{") && !strings.HasPrefix(out.String(), strings.SplitAfter(in, "\n")[0]) {
			t.Errorf("%q is shown as %q", in, out.String())
		}
	})
}
