package installer

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

// newInstaller returns an installer below a root of its own.
func newInstaller(t *testing.T) (i *Installer, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &Installer{Layout: layout.Layout{Root: t.TempDir()}, Version: "dev", Stdout: stdout, Stderr: stderr, Log: slog.New(slog.DiscardHandler)}, stdout, stderr
}

func TestTheBinaryIsPlacedOnceAndOtherVersionsGo(t *testing.T) {
	i, _, _ := newInstaller(t)
	digest, err := layout.FileDigest(layout.OwnExecutable)
	agenttest.Must(t, err)
	old := filepath.Join(i.LibDir(), "000000000000", "routingmesh-agent")
	agenttest.Must(t, os.MkdirAll(filepath.Dir(old), 0o755))
	agenttest.Must(t, os.WriteFile(old, []byte("old"), 0o755))
	agenttest.Must(t, os.MkdirAll(filepath.Dir(i.Link()), 0o755))
	agenttest.Must(t, os.Symlink(old, i.Link()))
	for range 2 {
		agenttest.Must(t, i.placeBinary(digest))
		agenttest.Must(t, i.removeOtherVersions(digest))
		if got, err := layout.FileDigest(i.Link()); got != digest {
			t.Errorf("the link leads to %s, %v", got, err)
		}
	}
	entries, err := os.ReadDir(i.LibDir())
	agenttest.Must(t, err)
	if len(entries) != 1 || entries[0].Name() != digest[:12] {
		t.Errorf("versions %v", entries)
	}
	agenttest.Must(t, os.WriteFile(i.Binary(digest), []byte("half a copy"), 0o755))
	agenttest.Must(t, i.placeBinary(digest))
	if got, _ := layout.FileDigest(i.Binary(digest)); got != digest {
		t.Error("a broken copy was not repaired")
	}
}

func TestFilesAreRemovedAndALinkThatIsNotOursStays(t *testing.T) {
	i, stdout, _ := newInstaller(t)
	for _, file := range []string{i.Unit(), i.SetsUnit(), i.Originals(), i.Socket(), i.Binary("0123456789abcdef")} {
		agenttest.Must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		agenttest.Must(t, os.WriteFile(file, nil, 0o600))
	}
	agenttest.Must(t, os.MkdirAll(filepath.Dir(i.Link()), 0o755))
	agenttest.Must(t, os.Symlink("/opt/other/agent", i.Link()))
	agenttest.Must(t, i.removeFiles())
	if _, err := os.Lstat(i.Link()); err != nil {
		t.Error("a link that is not ours was removed")
	}
	agenttest.Must(t, os.Remove(i.Link()))
	agenttest.Must(t, os.Symlink(i.Binary("0123456789abcdef"), i.Link()))
	agenttest.Must(t, i.removeFiles())
	if _, err := os.Lstat(i.Link()); err == nil {
		t.Error("our link was not removed")
	}
	stdout.Reset()
	agenttest.Must(t, i.removeFiles())
	if stdout.String() != "" {
		t.Errorf("there was nothing left to remove: %s", stdout)
	}
}

// TestHalfWrittenFilesAreRemoved: what an install leaves that is killed before
// it renames.
func TestHalfWrittenFilesAreRemoved(t *testing.T) {
	i, _, _ := newInstaller(t)
	unit := filepath.Join(filepath.Dir(i.Unit()), "."+layout.UnitName+".2703054140")
	agenttest.Must(t, os.MkdirAll(filepath.Dir(unit), 0o755))
	agenttest.Must(t, os.WriteFile(unit, nil, 0o600))
	agenttest.Must(t, os.MkdirAll(filepath.Dir(i.Link()), 0o755))
	ours, other := i.Link()+".4711", i.Link()+".old"
	agenttest.Must(t, os.Symlink(i.Binary("0123456789abcdef"), ours))
	agenttest.Must(t, os.Symlink("/opt/other/agent", other))
	agenttest.Must(t, i.removeFiles())
	for path, stays := range map[string]bool{unit: false, ours: false, other: true} {
		if _, err := os.Lstat(path); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestOnlyAnAgentOfOursIsEnded(t *testing.T) {
	i, _, _ := newInstaller(t)
	d := &detached{i.Layout}
	agenttest.Must(t, os.MkdirAll(i.RunDir(), 0o700))
	for name, content := range map[string]string{"this test": strconv.Itoa(os.Getpid()), "init": "1", "torn": "12x", "empty": ""} {
		agenttest.Must(t, os.WriteFile(i.PIDFile(), []byte(content), 0o600))
		if err := d.stop(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVerdictsAndDrainsGoWithTheMesh: nothing of them stays on a host that leaves.
func TestVerdictsAndDrainsGoWithTheMesh(t *testing.T) {
	i, _, _ := newInstaller(t)
	files := []string{i.Health(), i.Drains(), filepath.Join(filepath.Dir(i.Health()), ".health.json.4711")} // see host.WriteFile
	for _, file := range files {
		agenttest.Must(t, os.MkdirAll(filepath.Dir(file), 0o700))
		agenttest.Must(t, os.WriteFile(file, nil, 0o600))
	}
	agenttest.Must(t, i.removeFiles())
	for _, file := range files {
		if _, err := os.Lstat(file); err == nil {
			t.Errorf("%s is still there", file)
		}
	}
	if filepath.Dir(i.Health()) != i.RunDir() || filepath.Dir(i.Drains()) != i.StateDir() {
		t.Error("verdicts go with a boot, drains do not")
	}
}
