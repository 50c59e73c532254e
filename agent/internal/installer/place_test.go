package installer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

// A place that cannot be written or run from is passed over; the links, the unit
// and the uninstall follow.
func TestPlace_ReadOnly_TakesTheNext(t *testing.T) {
	for n, pl := range layout.Places {
		i, out, _ := newInstaller(t)
		chosen, err := i.ChoosePlace(func(lib, bin string) error {
			if !strings.HasPrefix(lib, i.Path(pl.Lib)) {
				return errors.New(lib + ": read-only file system")
			}
			return layout.Usable(lib, bin)
		})
		agenttest.Must(t, err)
		i.Layout = chosen
		digest, err := layout.FileDigest(layout.OwnExecutable)
		agenttest.Must(t, err)
		agenttest.Must(t, i.placeBinary(digest))
		if !strings.Contains(unitText(i.Layout), "ExecStart="+i.Path(pl.Link)+" run") {
			t.Errorf("place %d: the unit is %s", n, unitText(i.Layout))
		}
		// Another program, as uninstall is, finds it by its link or its own file.
		found := layout.Layout{Root: i.Root}
		if found.Link() != i.Path(pl.Link) || found.Binary(digest) != i.Binary(digest) {
			t.Errorf("place %d is not found: %s", n, found.Link())
		}
		agenttest.Must(t, os.Remove(i.Link()))
		if again := found.OfProgram(i.Binary(digest)); again.Link() != i.Path(pl.Link) {
			t.Errorf("place %d is not found without its link: %s", n, again.Link())
		}
		agenttest.Must(t, i.placeBinary(digest))
		upload := i.Path(uploadDirs[n], "routingmesh.aBcDeF")
		agenttest.Must(t, os.MkdirAll(upload, 0o700))
		rest := Installer{Layout: found, Stdout: out}
		agenttest.Must(t, rest.removeFiles())
		for _, gone := range []string{i.Link(), i.LibDir(), upload, i.Path("opt/routingmesh")} {
			if _, err := os.Lstat(gone); err == nil {
				t.Errorf("place %d: %s is left", n, gone)
			}
		}
	}
}

func TestPlace_None_SaysWhy(t *testing.T) {
	i, _, _ := newInstaller(t)
	_, err := i.ChoosePlace(func(lib, _ string) error { return errors.New(lib + " is mounted noexec") })
	if err == nil || strings.Count(err.Error(), "is mounted noexec") != len(layout.Places) {
		t.Errorf("it says %v", err)
	}
}

// SELinux's contexts are restored where it is on, and nothing is said where it is
// off.
func TestRestoreContexts_OnlyWithSELinux(t *testing.T) {
	i, _, stderr := newInstaller(t)
	bin, calls := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	agenttest.Must(t, os.WriteFile(filepath.Join(bin, "restorecon"), []byte("#!/bin/sh\necho \"$@\" >>"+calls+"\necho no policy >&2; exit 1\n"), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	i.restoreContexts(t.Context())
	if _, err := os.Stat(calls); err == nil || stderr.Len() > 0 {
		t.Errorf("without SELinux: %v, %s", err, stderr)
	}
	agenttest.Must(t, os.MkdirAll(i.Path("sys/fs/selinux"), 0o755))
	agenttest.Must(t, os.WriteFile(i.Path("sys/fs/selinux/enforce"), []byte("1"), 0o600))
	i.restoreContexts(t.Context())
	got, err := os.ReadFile(calls)
	agenttest.Must(t, err)
	if want := "-R -F " + i.LibDir() + " " + i.Link() + "\n"; string(got) != want || !strings.Contains(stderr.String(), "no policy") {
		t.Errorf("restorecon %q, want %q; it says %q", got, want, stderr)
	}
}
