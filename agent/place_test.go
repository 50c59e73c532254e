package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A place that cannot be written or run from is passed over; the links, the unit
// and the uninstall follow.
func TestPlace_ReadOnly_TakesTheNext(t *testing.T) {
	for i, pl := range places {
		p, out, _ := newProgram(t, "")
		chosen, err := p.choosePlace(func(lib, bin string) error {
			if !strings.HasPrefix(lib, p.path(pl.lib)) {
				return errors.New(lib + ": read-only file system")
			}
			return usable(lib, bin)
		})
		must(t, err)
		p.layout = chosen
		digest, err := fileDigest(ownExecutable)
		must(t, err)
		must(t, p.placeBinary(digest))
		if !strings.Contains(p.unitText(), "ExecStart="+p.path(pl.link)+" run") {
			t.Errorf("place %d: the unit is %s", i, p.unitText())
		}
		// Another program, as uninstall is, finds it by its link or its own file.
		found := layout{root: p.root}
		if found.link() != p.path(pl.link) || found.binary(digest) != p.binary(digest) {
			t.Errorf("place %d is not found: %s", i, found.link())
		}
		must(t, os.Remove(p.link()))
		if again := found.ofProgram(p.binary(digest)); again.link() != p.path(pl.link) {
			t.Errorf("place %d is not found without its link: %s", i, again.link())
		}
		must(t, p.placeBinary(digest))
		upload := p.path(uploadDirs[i], "routingmesh.aBcDeF")
		must(t, os.MkdirAll(upload, 0o700))
		rest := program{layout: found, stdout: out}
		must(t, rest.removeFiles())
		for _, gone := range []string{p.link(), p.libDir(), upload, p.path("opt/routingmesh")} {
			if _, err := os.Lstat(gone); err == nil {
				t.Errorf("place %d: %s is left", i, gone)
			}
		}
	}
}

func TestPlace_None_SaysWhy(t *testing.T) {
	p, _, _ := newProgram(t, "")
	_, err := p.choosePlace(func(lib, _ string) error { return errors.New(lib + " is mounted noexec") })
	if err == nil || strings.Count(err.Error(), "is mounted noexec") != len(places) {
		t.Errorf("it says %v", err)
	}
}

// SELinux's contexts are restored where it is on, and nothing is said where it is
// off.
func TestRestoreContexts_OnlyWithSELinux(t *testing.T) {
	p, _, stderr := newProgram(t, "")
	bin, calls := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	must(t, os.WriteFile(filepath.Join(bin, "restorecon"), []byte("#!/bin/sh\necho \"$@\" >>"+calls+"\necho no policy >&2; exit 1\n"), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	p.restoreContexts(t.Context())
	if _, err := os.Stat(calls); err == nil || stderr.Len() > 0 {
		t.Errorf("without SELinux: %v, %s", err, stderr)
	}
	must(t, os.MkdirAll(p.path("sys/fs/selinux"), 0o755))
	must(t, os.WriteFile(p.path("sys/fs/selinux/enforce"), []byte("1"), 0o600))
	p.restoreContexts(t.Context())
	got, err := os.ReadFile(calls)
	must(t, err)
	if want := "-R -F " + p.libDir() + " " + p.link() + "\n"; string(got) != want || !strings.Contains(stderr.String(), "no policy") {
		t.Errorf("restorecon %q, want %q; it says %q", got, want, stderr)
	}
}
