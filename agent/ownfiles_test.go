package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
)

// installedHost has this program in place, on a host with systemd.
func installedHost(t *testing.T) (p *program, files map[string]reconcile.File) {
	t.Helper()
	p, _, _ = newProgram(t, "")
	for _, dir := range []string{p.path("run/systemd/system"), p.runDir(), filepath.Dir(p.unit()), filepath.Dir(p.wants()), filepath.Dir(p.setsWants())} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	digest, err := fileDigest(ownExecutable)
	must(t, err)
	must(t, p.placeBinary(digest))
	must(t, os.WriteFile(p.unit(), []byte(p.unitText()), 0o644))
	must(t, os.Symlink(p.unit(), p.wants()))
	must(t, os.WriteFile(p.setsUnit(), []byte(p.setsUnitText()), 0o644))
	must(t, os.Symlink(p.setsUnit(), p.setsWants()))
	files = map[string]reconcile.File{}
	for _, f := range p.filesOf(digest) {
		what := f.Check().What
		if f.Check().Path == p.setsUnit() {
			what = "sets unit"
		}
		files[what] = f
	}
	if len(files) != 4 {
		t.Fatalf("files: %v", files)
	}
	return p, files
}

// otherVersion puts another program in place, as an install of it does.
func otherVersion(t *testing.T, p *program) {
	t.Helper()
	other := p.binary("ffffffffffffffff")
	must(t, os.MkdirAll(filepath.Dir(other), 0o755))
	must(t, os.WriteFile(other, []byte("newer"), 0o755))
	must(t, os.Remove(p.link()))
	must(t, os.Symlink(other, p.link()))
}

func faults(files map[string]reconcile.File) string {
	var all []string
	for _, what := range []string{"program", "link", "systemd unit", "sets unit"} {
		if fault := files[what].Check().Fault; fault != "" {
			all = append(all, what+" "+fault)
		}
	}
	return strings.Join(all, "; ")
}

func TestWhatIsWrongWithTheAgentsFiles(t *testing.T) {
	digest, err := fileDigest(ownExecutable)
	must(t, err)
	tests := []struct {
		name   string
		breaks func(p *program) error
		want   string
		mends  string // which one, "" for none that needs no systemctl
	}{
		{"nothing", func(*program) error { return nil }, "", ""},
		{"program gone", func(p *program) error { return os.RemoveAll(p.libDir()) }, "program is missing, so that the agent would not start again", "program"},
		{"program changed", func(p *program) error {
			must(t, os.Remove(p.binary(digest)))
			return os.WriteFile(p.binary(digest), []byte("#!/bin/sh"), 0o755)
		}, "program is not the program that runs, so that the agent would not start again", "program"},
		{"link gone", func(p *program) error { return os.Remove(p.link()) }, "link is missing, so that the agent would not start again", "link"},
		{"link leads elsewhere", func(p *program) error {
			must(t, os.Remove(p.link()))
			return os.Symlink("/bin/true", p.link())
		}, "link leads to /bin/true, so that the agent would not start again", "link"},
		{"a file instead of the link", func(p *program) error {
			must(t, os.Remove(p.link()))
			return os.WriteFile(p.link(), nil, 0o755)
		}, "link is something else, so that the agent would not start again", "link"},
		{"unit gone", func(p *program) error { return os.Remove(p.unit()) }, "systemd unit is missing, so that the agent would not start at the next boot", ""},
		{"unit changed", func(p *program) error { return os.WriteFile(p.unit(), []byte("[Service]"), 0o644) },
			"systemd unit has been changed, so that the agent may not start, or start too early, at the next boot", ""},
		{"unit not enabled", func(p *program) error { return os.Remove(p.wants()) }, "systemd unit is not enabled, so that the agent would not start at the next boot", ""},
		{"sets unit gone", func(p *program) error { return os.Remove(p.setsUnit()) }, "sets unit is missing, " + noSets, ""},
		{"sets unit changed", func(p *program) error { return os.WriteFile(p.setsUnit(), []byte("[Service]"), 0o644) }, "sets unit has been changed, " + noSets, ""},
		{"sets unit not enabled", func(p *program) error { return os.Remove(p.setsWants()) }, "sets unit is not enabled, " + noSets, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, files := installedHost(t)
			if got := faults(files); got != "" {
				t.Fatalf("before: %s", got)
			}
			must(t, test.breaks(p))
			if got := faults(files); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if test.mends != "" {
				must(t, files[test.mends].Mend(t.Context()))
				if got := faults(files); got != "" {
					t.Errorf("after: %s", got)
				}
			}
		})
	}
}

// What runs does not undo an install of another version: neither while that is
// under way (the lock), nor after it was cut before the restart (the link).
func TestARunningAgentDoesNotFightAnInstall(t *testing.T) {
	p, files := installedHost(t)
	release, err := p.lockInstall(t.Context())
	must(t, err)
	must(t, os.Remove(p.link())) // half way
	must(t, os.Remove(p.wants()))
	if got := faults(files); got != "" {
		t.Errorf("during an install: %s", got)
	}
	for _, f := range files {
		must(t, f.Mend(t.Context()))
	}
	if _, err := os.Lstat(p.link()); err == nil {
		t.Error("the link was put back during an install")
	}
	release()
	if got := faults(files); !strings.Contains(got, "link is missing") || !strings.Contains(got, "not enabled") {
		t.Errorf("after an install that was cut: %q", got)
	}
	must(t, files["link"].Mend(t.Context()))

	otherVersion(t, p)
	must(t, os.WriteFile(p.unit(), []byte("the newer one's"), 0o644))
	must(t, os.RemoveAll(filepath.Dir(files["program"].Check().Path)))
	if got := faults(files); got != "" {
		t.Errorf("after another version was installed: %s", got)
	}
	for _, f := range files {
		must(t, f.Mend(t.Context()))
	}
	if to, _ := os.Readlink(p.link()); to != p.binary("ffffffffffffffff") {
		t.Errorf("the link leads to %s", to)
	}
	must(t, os.RemoveAll(p.libDir())) // and now nothing is there
	if got := faults(files); !strings.Contains(got, "program is missing") || !strings.Contains(got, "link leads to") {
		t.Errorf("with neither version there: %q", got)
	}
}

func TestAProgramThatWasNotInstalledHasNoFiles(t *testing.T) {
	p, _, _ := newProgram(t, "")
	digest, err := fileDigest(ownExecutable)
	must(t, err)
	if files := p.ownFiles(digest); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
}
