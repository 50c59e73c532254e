package installer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
)

// installedHost has this program in place, on a host with systemd.
func installedHost(t *testing.T) (i *Installer, files map[string]reconcile.File) {
	t.Helper()
	i, _, _ = newInstaller(t)
	for _, dir := range []string{i.Path("run/systemd/system"), i.RunDir(), filepath.Dir(i.Unit()), filepath.Dir(i.Wants()), filepath.Dir(i.SetsWants())} {
		agenttest.Must(t, os.MkdirAll(dir, 0o755))
	}
	digest, err := layout.FileDigest(layout.OwnExecutable)
	agenttest.Must(t, err)
	agenttest.Must(t, i.placeBinary(digest))
	agenttest.Must(t, os.WriteFile(i.Unit(), []byte(unitText(i.Layout)), 0o644))
	agenttest.Must(t, os.Symlink(i.Unit(), i.Wants()))
	agenttest.Must(t, os.WriteFile(i.SetsUnit(), []byte(setsUnitText(i.Layout)), 0o644))
	agenttest.Must(t, os.Symlink(i.SetsUnit(), i.SetsWants()))
	files = map[string]reconcile.File{}
	for _, f := range i.filesOf(digest) {
		what := f.Check().What
		if f.Check().Path == i.SetsUnit() {
			what = "sets unit"
		}
		files[what] = f
	}
	if len(files) != 4 {
		t.Fatalf("files: %v", files)
	}
	return i, files
}

// otherVersion puts another program in place, as an install of it does.
func otherVersion(t *testing.T, i *Installer) {
	t.Helper()
	other := i.Binary("ffffffffffffffff")
	agenttest.Must(t, os.MkdirAll(filepath.Dir(other), 0o755))
	agenttest.Must(t, os.WriteFile(other, []byte("newer"), 0o755))
	agenttest.Must(t, os.Remove(i.Link()))
	agenttest.Must(t, os.Symlink(other, i.Link()))
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
	digest, err := layout.FileDigest(layout.OwnExecutable)
	agenttest.Must(t, err)
	tests := []struct {
		name    string
		breaks  func(i *Installer) error
		want    string
		repairs string // which one, "" for none that needs no systemctl
	}{
		{"nothing", func(*Installer) error { return nil }, "", ""},
		{"program gone", func(i *Installer) error { return os.RemoveAll(i.LibDir()) }, "program is missing, so that the agent would not start again", "program"},
		{"program changed", func(i *Installer) error {
			agenttest.Must(t, os.Remove(i.Binary(digest)))
			return os.WriteFile(i.Binary(digest), []byte("#!/bin/sh"), 0o755)
		}, "program is not the program that runs, so that the agent would not start again", "program"},
		{"link gone", func(i *Installer) error { return os.Remove(i.Link()) }, "link is missing, so that the agent would not start again", "link"},
		{"link leads elsewhere", func(i *Installer) error {
			agenttest.Must(t, os.Remove(i.Link()))
			return os.Symlink("/bin/true", i.Link())
		}, "link leads to /bin/true, so that the agent would not start again", "link"},
		{"a file instead of the link", func(i *Installer) error {
			agenttest.Must(t, os.Remove(i.Link()))
			return os.WriteFile(i.Link(), nil, 0o755)
		}, "link is something else, so that the agent would not start again", "link"},
		{"unit gone", func(i *Installer) error { return os.Remove(i.Unit()) }, "systemd unit is missing, so that the agent would not start at the next boot", ""},
		{"unit changed", func(i *Installer) error { return os.WriteFile(i.Unit(), []byte("[Service]"), 0o644) },
			"systemd unit has been changed, so that the agent may not start, or start too early, at the next boot", ""},
		{"unit not enabled", func(i *Installer) error { return os.Remove(i.Wants()) }, "systemd unit is not enabled, so that the agent would not start at the next boot", ""},
		{"sets unit gone", func(i *Installer) error { return os.Remove(i.SetsUnit()) }, "sets unit is missing, " + noSets, ""},
		{"sets unit changed", func(i *Installer) error { return os.WriteFile(i.SetsUnit(), []byte("[Service]"), 0o644) }, "sets unit has been changed, " + noSets, ""},
		{"sets unit not enabled", func(i *Installer) error { return os.Remove(i.SetsWants()) }, "sets unit is not enabled, " + noSets, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i, files := installedHost(t)
			if got := faults(files); got != "" {
				t.Fatalf("before: %s", got)
			}
			agenttest.Must(t, test.breaks(i))
			if got := faults(files); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if test.repairs != "" {
				agenttest.Must(t, files[test.repairs].Repair(t.Context()))
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
	i, files := installedHost(t)
	release, err := i.HoldInstall(t.Context())
	agenttest.Must(t, err)
	agenttest.Must(t, os.Remove(i.Link())) // half way
	agenttest.Must(t, os.Remove(i.Wants()))
	if got := faults(files); got != "" {
		t.Errorf("during an install: %s", got)
	}
	for _, f := range files {
		agenttest.Must(t, f.Repair(t.Context()))
	}
	if _, err := os.Lstat(i.Link()); err == nil {
		t.Error("the link was put back during an install")
	}
	release()
	if got := faults(files); !strings.Contains(got, "link is missing") || !strings.Contains(got, "not enabled") {
		t.Errorf("after an install that was cut: %q", got)
	}
	agenttest.Must(t, files["link"].Repair(t.Context()))

	otherVersion(t, i)
	agenttest.Must(t, os.WriteFile(i.Unit(), []byte("the newer one's"), 0o644))
	agenttest.Must(t, os.RemoveAll(filepath.Dir(files["program"].Check().Path)))
	if got := faults(files); got != "" {
		t.Errorf("after another version was installed: %s", got)
	}
	for _, f := range files {
		agenttest.Must(t, f.Repair(t.Context()))
	}
	if to, _ := os.Readlink(i.Link()); to != i.Binary("ffffffffffffffff") {
		t.Errorf("the link leads to %s", to)
	}
	agenttest.Must(t, os.RemoveAll(i.LibDir())) // and now nothing is there
	if got := faults(files); !strings.Contains(got, "program is missing") || !strings.Contains(got, "link leads to") {
		t.Errorf("with neither version there: %q", got)
	}
}

func TestAProgramThatWasNotInstalledHasNoFiles(t *testing.T) {
	i, _, _ := newInstaller(t)
	digest, err := layout.FileDigest(layout.OwnExecutable)
	agenttest.Must(t, err)
	if files := i.OwnFiles(digest); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
}
