package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeApt has no backports.
func fakeApt(args []string) int {
	if args[0] == "indextargets" {
		return 0
	}
	fmt.Fprintln(os.Stderr, "E: Failed to fetch")
	return 100
}

func TestEmulator(t *testing.T) {
	for _, c := range []struct{ version, codename string }{{"10.0.2", "bookworm"}, {"11.1.0", "bookworm"}, {"8.2.2", "noble"}} {
		lab := faked(t, "works")
		t.Setenv("FAKE_QEMU", c.version)
		if err := os.WriteFile(lab.release, []byte("VERSION_CODENAME="+c.codename+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := lab.emulator(); len(got) != 1 || got[0] != qemuProgram {
			t.Errorf("QEMU %s of %s: %q emulates, not this machine's own", c.version, c.codename, got)
		}
	}
}

// Whatever comes in the way of the newer one, the lab boots with the machine's own, and says why it takes longer.
func TestEmulatorCannotBeFetched(t *testing.T) {
	lab := faked(t, "works")
	t.Setenv("FAKE_QEMU", "7.2.22")
	var got []string
	said := printedBy(t, func() { got = lab.emulator() })
	if len(got) != 1 || got[0] != qemuProgram {
		t.Errorf("%q emulates", got)
	}
	if !strings.Contains(said, "Failed to fetch") || !strings.Contains(said, "this machine's own QEMU emulates instead") {
		t.Errorf("it says:\n%s", said)
	}
}

func TestEmulatorOfTheCache(t *testing.T) {
	lab := faked(t, "works")
	t.Setenv("FAKE_QEMU", "7.2.22")
	newer := lab.unpackedQEMU()
	if err := os.MkdirAll(filepath.Dir(newer[0]), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(newer[0], []byte("#!/bin/sh\necho 'QEMU emulator version 10.0.2 (Debian)'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := lab.emulator(); strings.Join(got, " ") != strings.Join(newer, " ") {
		t.Errorf("%q emulates, not the unpacked one", got)
	}
}

func TestBackportsSource(t *testing.T) {
	got := backportsSource([]string{"deb [signed-by=/k] http://mirror/debian bookworm main", "deb [signed-by=/k] http://mirror/debian bookworm-updates main"})
	if want := "deb [signed-by=/k] http://mirror/debian bookworm-backports main"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
