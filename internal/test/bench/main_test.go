package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	o, err := parse(nil)
	optional := func(p part) bool { return p.optional }
	if err != nil || len(o.parts) != len(slices.DeleteFunc(slices.Clone(parts), optional)) || slices.ContainsFunc(o.parts, optional) || o.quick {
		t.Errorf("without flags: %d parts, %v", len(o.parts), err)
	}
	o, err = parse([]string{"-quick", "-parts", "fleet,swarm"})
	if err != nil || len(o.parts) != 2 || o.parts[0].name != "fleet" || !o.quick {
		t.Errorf("two parts: %+v, %v", o, err)
	}
	if _, err := parse([]string{"-parts", "flight"}); err == nil || !strings.Contains(err.Error(), `"flight"`) || !strings.Contains(err.Error(), "datapath") {
		t.Errorf("an unknown part: %v", err)
	}
}

func TestRelay(t *testing.T) {
	t.Parallel()
	var b bench
	line := `{"part":"agent","name":"save","value":1,"unit":"ms","compared":1}`
	if err := b.relay(exec.Command("echo", line)); err != nil || len(b.figures) != 1 || b.figures[0].Name != "save" {
		t.Errorf("%+v, %v", b.figures, err)
	}
	if err := b.relay(exec.Command("sh", "-c", "echo '"+line+"'; exit 3")); err == nil || len(b.figures) != 2 {
		t.Errorf("of a program that fails after a line: %d figures, %v", len(b.figures), err)
	}
	if err := b.relay(exec.Command("echo", "hello")); err == nil {
		t.Error("no error of what is no figure")
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for content, want := range map[string]string{
		"0.90 2.00 3.00 1/99 41\n": "",
		"1.10 0.00 0.00 1/99 41\n": "load 1.1 on 2 cores",
		"what\n":                   "does not say",
	} {
		path := filepath.Join(dir, "loadavg")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := busy(path, 2); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q", content, got)
		}
	}
	if got := busy(filepath.Join(dir, "absent"), 2); got != "" {
		t.Error(got) // no Linux
	}
}
