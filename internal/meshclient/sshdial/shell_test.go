package sshdial

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial/shelltest"
)

// What a login shell gets are words that no shell changes: see shell.go.
func TestCommandLine_PlainForEveryShell(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^exec /bin/sh -c '([^']*)'(?: '([^']*)')?$`)
	for name, line := range map[string]string{"as root": commandLine("uname -sm", false), "with sudo": commandLine("uname -sm", true)} {
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
		for _, mark := range []string{loginMark, rootMark} {
			if strings.Contains(line, mark) {
				t.Errorf("%s has the mark %s in its own text", name, mark)
			}
		}
	}
}

const (
	refuseDE = `echo "sudo: Ein Passwort ist notwendig" >&2; exit 1`
	refuseRS = `echo "sudo-rs: interactive authentication is required" >&2; exit 1`
)

// A login shell of any kind starts the command by sudo or doas, gives it stdin, and
// its exit status back.
func TestLoginShells_RunTheCommand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		programs map[string]string
		via      string // "" for refused
		says     []string
	}{
		"sudo":                       {map[string]string{"sudo": shelltest.AsSudo}, "+sudo", nil},
		"doas":                       {map[string]string{"doas": shelltest.AsDoas}, "+doas", nil},
		"sudo and doas":              {map[string]string{"sudo": shelltest.AsSudo, "doas": shelltest.AsDoas}, "+sudo", nil},
		"sudo refuses, doas":         {map[string]string{"sudo": refuseDE, "doas": shelltest.AsDoas}, "+doas", nil},
		"sudo-rs refuses":            {map[string]string{"sudo": refuseRS}, "", []string{"interactive authentication"}},
		"both refuse":                {map[string]string{"sudo": refuseDE, "doas": `echo "doas: Operation not permitted" >&2; exit 1`}, "", []string{"Passwort", "Operation not permitted"}},
		"neither":                    {nil, "", []string{"neither sudo nor doas is installed"}},
		"sudo prints a warning also": {map[string]string{"sudo": "echo warning >&2; " + shelltest.AsSudo}, "+sudo", nil},
	} {
		h := shelltest.New(t, c.programs)
		h.Add("program", `echo "program $1 by $VIA"; cat; exit 7`)
		for _, shell := range shelltest.LoginShells() {
			t.Run(name+" "+filepath.Base(shell), func(t *testing.T) {
				line := commandLine("exec "+h.Dir+"/program dial-stdio", true)
				out, errOut, code := h.Run(shell, line, "stdin's first line\nsecond\n")
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
				want := loginMark + "\n" + rootMark + "\nprogram dial-stdio by " + c.via + "\nstdin's first line\nsecond\n"
				if out != want || code != 7 || !strings.HasSuffix(errOut, rootMark+"\n") {
					t.Errorf("got %q, %q, %d, want %q", out, errOut, code, want)
				}
			})
		}
	}
}
