package meshclient

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sentLines are all command lines that are sent to hosts.
func sentLines() map[string]string {
	lines := map[string]string{}
	for name, script := range map[string]string{
		"dial-stdio": agentScript("dial-stdio", agentDirs...), "uninstall": agentScript("uninstall", agentDirs...),
		"uname": "uname -sm", "install": installScript(installBases...),
	} {
		lines[name], lines[name+" with sudo"] = commandLine(script, false), commandLine(script, true)
	}
	return lines
}

// What a login shell gets are words that no shell changes: see shell.go.
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

// hostPrograms is a folder that stands for a host's programs.
type hostPrograms struct {
	t   *testing.T
	dir string
}

func newHostPrograms(t *testing.T, programs map[string]string) hostPrograms {
	t.Helper()
	h := hostPrograms{t, t.TempDir()}
	for _, name := range []string{"id", "gzip", "mktemp", "chmod", "rm", "cat"} {
		if path, err := exec.LookPath(name); err == nil {
			h.link(path, name)
		}
	}
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	return h
}

func (h hostPrograms) link(path, name string) {
	h.t.Helper()
	if err := os.Symlink(path, filepath.Join(h.dir, name)); err != nil {
		h.t.Fatal(err)
	}
}

// run gives the line to the login shell as sshd does.
func (h hostPrograms) run(shell, line, stdin string) (stdout, stderr string, code int) {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), shell, "-c", line)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	cmd.Env = []string{"PATH=" + h.dir, "HOME=" + h.dir}
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

// loginShells are those of this machine; CI's and the lab's have all of them.
func loginShells() []string {
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

const (
	asSudo   = `[ "$1" = -n ] || exit 9; shift; VIA=$VIA+sudo; export VIA; exec "$@"`
	asDoas   = `[ "$1" = -n ] || exit 9; shift; VIA=$VIA+doas; export VIA; exec "$@"`
	refuseDE = `echo "sudo: Ein Passwort ist notwendig" >&2; exit 1`
	refuseRS = `echo "sudo-rs: interactive authentication is required" >&2; exit 1`
)

// A login shell of any kind starts the agent by sudo or doas, gives it stdin, and
// its exit status back.
func TestLoginShells_RunTheAgent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		programs map[string]string
		via      string // "" for refused
		says     []string
	}{
		"sudo":                       {map[string]string{"sudo": asSudo}, "+sudo", nil},
		"doas":                       {map[string]string{"doas": asDoas}, "+doas", nil},
		"sudo and doas":              {map[string]string{"sudo": asSudo, "doas": asDoas}, "+sudo", nil},
		"sudo refuses, doas":         {map[string]string{"sudo": refuseDE, "doas": asDoas}, "+doas", nil},
		"sudo-rs refuses":            {map[string]string{"sudo": refuseRS}, "", []string{"interactive authentication"}},
		"both refuse":                {map[string]string{"sudo": refuseDE, "doas": `echo "doas: Operation not permitted" >&2; exit 1`}, "", []string{"Passwort", "Operation not permitted"}},
		"neither":                    {nil, "", []string{"neither sudo nor doas is installed"}},
		"sudo prints a warning also": {map[string]string{"sudo": "echo warning >&2; " + asSudo}, "+sudo", nil},
	} {
		h := newHostPrograms(t, c.programs)
		h.addAgent()
		for _, shell := range loginShells() {
			t.Run(name+" "+filepath.Base(shell), func(t *testing.T) {
				line := commandLine(agentScript("dial-stdio", "/nowhere", h.dir), true)
				out, errOut, code := h.run(shell, line, "stdin's first line\nsecond\n")
				if c.via == "" {
					if !strings.Contains(out, loginMark+"\n") || strings.Contains(out, rootMark) || code == 0 {
						t.Errorf("%q %q %d", out, errOut, code)
					}
					for _, words := range c.says {
						if !strings.Contains(errOut, words) {
							t.Errorf("%q is not in %q", words, errOut)
						}
					}
					return
				}
				want := loginMark + "\n" + rootMark + "\nagent dial-stdio by " + c.via + "\nstdin's first line\nsecond\n"
				if out != want || code != 7 || !strings.HasSuffix(errOut, rootMark+"\n") {
					t.Errorf("got %q, %q, %d, want %q", out, errOut, code, want)
				}
			})
		}
	}
}

// addAgent puts a program in the agent's place.
func (h hostPrograms) addAgent() {
	h.t.Helper()
	script := "#!/bin/sh\necho \"agent $1 by $VIA\"; cat; exit 7\n"
	if err := os.WriteFile(filepath.Join(h.dir, "routingmesh-agent"), []byte(script), 0o755); err != nil { //nolint:gosec // a program
		h.t.Fatal(err)
	}
}

// A host without an agent says so by a mark and an exit status, in no language.
func TestLoginShells_NoAgent(t *testing.T) {
	t.Parallel()
	h := newHostPrograms(t, map[string]string{"sudo": asSudo})
	for _, shell := range loginShells() {
		for _, sudo := range []bool{false, true} {
			out, errOut, code := h.run(shell, commandLine(agentScript("uninstall", "/nowhere", h.dir), sudo), "")
			if code != 127 || !strings.HasSuffix(errOut, noAgentMark+"\n") || !strings.HasSuffix(out, rootMark+"\n") {
				t.Errorf("%s: %q %q %d", shell, out, errOut, code)
			}
		}
	}
}
