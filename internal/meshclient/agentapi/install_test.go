package agentapi

import (
	"bytes"
	"compress/gzip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial/shelltest"
)

// runScript runs the install script as the login shell would, with a shell
// script in the agent's place. cut is how much of the upload is missing.
func runScript(t *testing.T, shell, agent string, cut int, bases ...string) (stdout, stderr string, code int) {
	t.Helper()
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write([]byte(agent)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	h := shelltest.New(t, map[string]string{"sudo": shelltest.AsSudo})
	out, errOut, code := h.Run(shell, rootLine(installScript(bases...), true), gz.String()[:gz.Len()-cut])
	_, out, _ = strings.Cut(out, rootMark+"\n")
	_, errOut, _ = strings.Cut(errOut, rootMark+"\n")
	return out, errOut, code
}

func TestInstallScript(t *testing.T) {
	t.Parallel()
	for _, shell := range shelltest.LoginShells() {
		base := t.TempDir()
		out, errOut, code := runScript(t, shell, "#!/bin/sh\necho \"$0 $1\"\n", 0, "/nowhere", base)
		path, args, _ := strings.Cut(strings.TrimSpace(out), " ")
		if code != 0 || errOut != "" || args != "install" || !strings.HasPrefix(path, base+"/routingmesh.") || filepath.Base(path) != "routingmesh-agent" {
			t.Errorf("%s: %q %q %d", shell, out, errOut, code)
		}
		if _, errOut, code := runScript(t, shell, "#!/bin/sh\necho the disk is full >&2\nexit 7\n", 0, base); code != 7 || errOut != "the disk is full\n" {
			t.Errorf("%s: an agent that fails: %q %d", shell, errOut, code)
		}
		if out, _, code := runScript(t, shell, "#!/bin/sh\necho ran\n", 12, base); code == 0 || strings.Contains(out, "ran") {
			t.Errorf("%s: an upload that was cut off was run: %q %d", shell, out, code)
		}
		if left, _ := filepath.Glob(base + "/*"); len(left) > 0 {
			t.Errorf("%s: it left %q", shell, left)
		}
		if _, errOut, code := runScript(t, shell, "", 0, "/nowhere"); code != 1 || !strings.Contains(errOut, "no program can be put and run in /nowhere") {
			t.Errorf("%s: without a place: %q %d", shell, errOut, code)
		}
	}
}

func TestArchitecture(t *testing.T) {
	t.Parallel()
	for uname, want := range map[string]string{"Linux x86_64\n": "amd64", "Linux aarch64": "arm64", "Linux armv7l": "", "Darwin arm64": "", "": ""} {
		got, err := architecture(uname)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", uname, got, err)
		}
	}
}
