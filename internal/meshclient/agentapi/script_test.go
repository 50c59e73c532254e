package agentapi

import (
	"regexp"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial/shelltest"
)

// What sshdial promises of a line that it sends, see its shell.go: the marks that
// it prints, and how long a word may be.
const (
	loginMark = "routingmesh-login"
	rootMark  = "routingmesh-root"
	maxWord   = 1000
)

func rootLine(script string, sudo bool) string {
	return (&sshdial.Endpoint{Sudo: sudo}).CommandLine(script)
}

// sentLines are all command lines that are sent to hosts.
func sentLines() map[string]string {
	lines := map[string]string{}
	for name, script := range map[string]string{
		"dial-stdio": agentScript("dial-stdio", agentDirs...), "uninstall": agentScript("uninstall", agentDirs...),
		"uname": "uname -sm", "install": installScript(installBases...),
	} {
		lines[name], lines[name+" with sudo"] = rootLine(script, false), rootLine(script, true)
	}
	return lines
}

// What a login shell gets are words that no shell changes: see sshdial.
func TestSentLines_PlainForEveryShell(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^exec /bin/sh -c '([^']*)'(?: '([^']*)')?$`)
	for name, line := range sentLines() {
		words := form.FindStringSubmatch(line)
		if words == nil {
			t.Errorf("%s is not of the one form: %s", name, line)
			continue
		}
		for _, word := range words[1:] {
			if strings.ContainsAny(word, "!\\\n\r\t") || len(word) > maxWord {
				t.Errorf("%s: %d characters, or one that csh or fish reads otherwise: %s", name, len(word), word)
			}
		}
		// The marks are what is printed, and not what the login may print of the line.
		for _, mark := range []string{loginMark, rootMark, noAgentMark} {
			if strings.Contains(line, mark) {
				t.Errorf("%s has the mark %s in its own text", name, mark)
			}
		}
	}
}

// A host without an agent says so by a mark and an exit status, in no language.
func TestLoginShells_NoAgent(t *testing.T) {
	t.Parallel()
	h := shelltest.New(t, map[string]string{"sudo": shelltest.AsSudo})
	for _, shell := range shelltest.LoginShells() {
		for _, sudo := range []bool{false, true} {
			out, errOut, code := h.Run(shell, rootLine(agentScript("uninstall", "/nowhere", h.Dir), sudo), "")
			if code != 127 || !strings.HasSuffix(errOut, noAgentMark+"\n") || !strings.HasSuffix(out, rootMark+"\n") {
				t.Errorf("%s: %q %q %d", shell, out, errOut, code)
			}
		}
	}
}

// The agent is looked for in every place where it may be.
func TestLoginShells_RunTheAgent(t *testing.T) {
	t.Parallel()
	h := shelltest.New(t, map[string]string{"sudo": shelltest.AsSudo, "routingmesh-agent": `echo "agent $1 by $VIA"; cat; exit 7`})
	for _, shell := range shelltest.LoginShells() {
		out, errOut, code := h.Run(shell, rootLine(agentScript("dial-stdio", "/nowhere", h.Dir), true), "stdin's first line\nsecond\n")
		want := loginMark + "\n" + rootMark + "\nagent dial-stdio by +sudo\nstdin's first line\nsecond\n"
		if out != want || code != 7 || !strings.HasSuffix(errOut, rootMark+"\n") {
			t.Errorf("%s: got %q, %q, %d, want %q", shell, out, errOut, code, want)
		}
	}
}
