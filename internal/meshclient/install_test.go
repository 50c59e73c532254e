package meshclient

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runScript runs the install script as the remote shell would, with a shell
// script in the agent's place.
func runScript(t *testing.T, agent string, cut int) (stdout, stderr string, code int) {
	t.Helper()
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write([]byte(agent)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", shell(installScript))
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(gz.Bytes()[:gz.Len()-cut]), &out, &errOut
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), code
}

func TestInstallScript(t *testing.T) {
	t.Parallel()
	out, errOut, code := runScript(t, "#!/bin/sh\necho \"$0 $1\"\n", 0)
	path, args, _ := strings.Cut(strings.TrimSpace(out), " ")
	if code != 0 || errOut != "" || args != "install" || filepath.Base(path) != "routingmesh-agent" {
		t.Errorf("%q %q %d", out, errOut, code)
	}
	if left, _ := filepath.Glob(filepath.Dir(path)); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	if _, errOut, code := runScript(t, "#!/bin/sh\necho the disk is full >&2\nexit 7\n", 0); code != 7 || errOut != "the disk is full\n" {
		t.Errorf("an agent that fails: %q %d", errOut, code)
	}
	if out, _, code := runScript(t, "#!/bin/sh\necho ran\n", 12); code == 0 || strings.Contains(out, "ran") {
		t.Errorf("an upload that was cut off was run: %q %d", out, code)
	}
}

func TestShellQuotes(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", shell(`echo 'it'"'"'s $HOME'`)).Output()
	if err != nil || string(out) != "it's $HOME\n" {
		t.Errorf("%q %v", out, err)
	}
}
