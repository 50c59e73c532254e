// Package shelltest gives command lines to login shells as sshd does, with
// programs that a test chooses in place of the host's.
package shelltest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What sudo and doas do in place of asking: they run the command, and note in VIA
// that they did.
const (
	AsSudo = `[ "$1" = -n ] || exit 9; shift; VIA=$VIA+sudo; export VIA; exec "$@"`
	AsDoas = `[ "$1" = -n ] || exit 9; shift; VIA=$VIA+doas; export VIA; exec "$@"`
)

// Programs is a folder that stands for a host's programs: its PATH and its home.
type Programs struct {
	Dir string

	t *testing.T
}

// New has the programs that our scripts need, and the given ones, by name: each a
// script of /bin/sh.
func New(t *testing.T, programs map[string]string) Programs {
	t.Helper()
	h := Programs{t: t, Dir: t.TempDir()}
	for _, name := range []string{"id", "gzip", "mktemp", "chmod", "rm", "cat"} {
		if path, err := exec.LookPath(name); err == nil {
			h.link(path, name)
		}
	}
	for name, script := range programs {
		h.Add(name, script)
	}
	return h
}

// Add puts one more there.
func (h Programs) Add(name, script string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.Dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil { // a program
		h.t.Fatal(err)
	}
}

func (h Programs) link(path, name string) {
	h.t.Helper()
	if err := os.Symlink(path, filepath.Join(h.Dir, name)); err != nil {
		h.t.Fatal(err)
	}
}

// Run gives the line to the login shell as sshd does.
func (h Programs) Run(shell, line, stdin string) (stdout, stderr string, code int) {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), shell, "-c", line)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	cmd.Env = []string{"PATH=" + h.Dir, "HOME=" + h.Dir}
	err := cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		h.t.Fatal(err)
	}
	if ok {
		code = exit.ExitCode()
	}
	return out.String(), errOut.String(), code
}

// LoginShells are those of this machine; CI's and the lab's have all of them.
func LoginShells() []string {
	var found []string
	for _, name := range []string{"sh", "dash", "bash", "zsh", "fish", "csh", "bsd-csh", "tcsh"} {
		path, err := exec.LookPath(name)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err == nil && !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	return found
}
