package cli

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// newProgram returns a program below a root of its own.
func newProgram(t *testing.T, stdin string) (p *program, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	p = &program{
		Layout: layout.Layout{Root: t.TempDir()}, version: "dev", stdin: strings.NewReader(stdin),
		stdout: stdout, stderr: stderr, log: slog.New(slog.DiscardHandler),
	}
	return p, stdout, stderr
}

// TestUsageErrors: the message and the usage of the command that was meant are on
// stderr, and nothing is on stdout, which a program may read.
func TestUsageErrors(t *testing.T) {
	const rootUsage = "routingmesh-agent [command]"
	for _, tt := range []struct{ name, args, message, usage string }{
		{"no command", "", "a command is missing", rootUsage},
		{"unknown command", "start", `unknown command "start"`, rootUsage},
		{"unknown command with a flag", "start --json", `unknown command "start"`, rootUsage},
		{"flag before the command", "--json status", "unknown flag: --json", rootUsage},
		{"argument of version", "--version now", `unknown command "now"`, rootUsage},
		{"unknown flag", "status --yaml", "unknown flag: --yaml", "routingmesh-agent status [--watch] [--json]"},
		{"flag of another command", "install --json", "unknown flag: --json", "routingmesh-agent install"},
		{"not a bool", "check --json=perhaps", `invalid argument "perhaps"`, "routingmesh-agent check [--watch] [--json]"},
		{"watched by a program", "status --watch --json", "--watch is for people", "routingmesh-agent status [--watch] [--json]"},
		{"argument of run", "run now", "run takes no arguments", "routingmesh-agent run"},
		{"argument of check", "check now", "check takes no arguments", "routingmesh-agent check [--watch] [--json]"},
		{"argument of dial-stdio", "dial-stdio x", "dial-stdio takes no arguments", "routingmesh-agent dial-stdio"},
		{"trace without a port", "trace --json", "trace takes one argument", "routingmesh-agent trace [ADDRESS:]PORT[/udp] [--from ADDRESS] [--json]"},
		{"trace of two ports", "trace 80 81", "trace takes one argument", "routingmesh-agent trace [ADDRESS:]PORT[/udp] [--from ADDRESS] [--json]"},
		{"trace of no port", "trace web --json", "want PORT or PORT/PROTOCOL", "routingmesh-agent trace [ADDRESS:]PORT[/udp] [--from ADDRESS] [--json]"},
		{"trace from no address", "trace 80 --from web", `"web" is not an IPv4 address`, "routingmesh-agent trace [ADDRESS:]PORT[/udp] [--from ADDRESS] [--json]"},
		{"help of an unknown command", "help start", `unknown command "start"`, "routingmesh-agent help [command]"},
		{"completion without a shell", "completion", "takes the name of a shell", "routingmesh-agent completion"},
		{"completion of an unknown shell", "completion tcsh", `unknown command "tcsh"`, "routingmesh-agent completion"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, stdout, stderr := newProgram(t, "")
			code := p.main(t.Context(), strings.Fields(tt.args))
			message, usage, _ := strings.Cut(stderr.String(), "\n\nUsage:\n")
			if code != exitUsage || stdout.Len() > 0 || !strings.HasPrefix(message, "routingmesh-agent: ") ||
				!strings.Contains(message, tt.message) || !strings.Contains(usage, "  "+tt.usage+"\n") {
				t.Errorf("exit code %d, stdout %q, stderr:\n%s\nwant %q and the usage of %q", code, stdout, stderr, tt.message, tt.usage)
			}
		})
	}
}

// TestExitCodes are those of commands that run. The status is of a node with
// problems.
func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name, args     string
		answers        map[string]any // nil: no agent
		want           int
		stdout, stderr string
	}{
		{"version", "version", nil, exitOK, "routingmesh-agent dev linux/", ""},
		{"version as a flag", "--version", nil, exitOK, "routingmesh-agent dev linux/", ""},
		{"help", "help", nil, exitOK, "Exit codes:", ""},
		{"help as a flag", "--help", nil, exitOK, "Exit codes:", ""},
		{"help of a command", "status -h", nil, exitOK, "--json", ""},
		{"help wins over the argument", "trace web --help", nil, exitOK, "--json", ""},
		{"dial-stdio without an agent", "dial-stdio", nil, exitNotRunning, "", "(nothing answers on "},
		{"status without an agent", "status", nil, exitNotRunning, "", "not installed here"},
		{"status --json without an agent", "status --json", nil, exitNotRunning, "", "not running"},
		{"status with problems", "status", statusOf(t, true), exitBroken, "Not all is well: 3 problems.", ""},
		{"status --json with problems", "status --json", statusOf(t, true), exitOK, `"problems"`, ""},
		{"status without problems", "status", statusOf(t, false), exitOK, "as the record asks", ""},
		{"status refused", "status", map[string]any{"GET " + mesh.PathStatus: "Not now."}, exitFailed, "", "routingmesh-agent: Not now."},
		{"sets of a host that is no node", "sets", nil, exitOK, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, stdout, stderr := newProgram(t, "")
			if tt.answers != nil {
				agenttest.Serve(t, p.Socket(), tt.answers)
			}
			code := p.main(t.Context(), strings.Fields(tt.args))
			if code != tt.want || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d, %q, %q", code, stdout, stderr, tt.want, tt.stdout, tt.stderr)
			}
			if strings.Contains(stderr.String(), "Usage:") {
				t.Errorf("a command that ran is no usage error: %s", stderr)
			}
		})
	}
}

func statusOf(t *testing.T, broken bool) map[string]any {
	t.Helper()
	st := agenttest.Status(t)
	if !broken {
		st.Problems = nil
	}
	return map[string]any{"GET " + mesh.PathStatus: st, "GET " + mesh.PathDrains: mesh.Drains{}}
}

func TestDialStdio_JoinsStdinAndStdout(t *testing.T) {
	p, stdout, stderr := newProgram(t, "GET "+mesh.PathStatus+" HTTP/1.0\r\n\r\n")
	agenttest.Serve(t, p.Socket(), statusOf(t, false))
	if code := p.main(t.Context(), []string{"dial-stdio"}); code != exitOK || !strings.Contains(stdout.String(), "200 OK") || stderr.Len() > 0 {
		t.Errorf("exit code %d, %q %q", code, stdout, stderr)
	}
}

func TestSuggestions(t *testing.T) {
	for args, want := range map[string]string{"stats": "status", "trce 80": "trace", "dialstdio": "dial-stdio", "Check --json": "check", "uninstal": "uninstall"} {
		p, _, stderr := newProgram(t, "")
		p.main(t.Context(), strings.Fields(args))
		if !strings.Contains(stderr.String(), "Did you mean this?\n") || !strings.Contains(stderr.String(), "\t"+want+"\n") {
			t.Errorf("%s: %s is not suggested:\n%s", args, want, stderr)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		p, stdout, stderr := newProgram(t, "")
		if code := p.main(t.Context(), []string{"completion", shell}); code != exitOK || !strings.Contains(stdout.String(), "routingmesh-agent") || stderr.Len() > 0 {
			t.Errorf("%s: exit code %d, %d bytes, %q", shell, code, stdout.Len(), stderr)
		}
	}
	for typed, want := range map[string]string{"st": "status\t", "trace --j": "--json\t", "help tr": "trace\t", "help st": "status\t"} {
		p, stdout, _ := newProgram(t, "")
		p.main(t.Context(), append([]string{"__complete"}, strings.Fields(typed)...))
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is completed as %q, want %q", typed, stdout, want)
		}
	}
}

// names are those of the tree, in the order of the help.
func names(root *cobra.Command) (all []*cobra.Command) {
	for _, cmd := range root.Commands() {
		if !cmd.Hidden && cmd.Name() != "help" {
			all = append(all, cmd)
		}
	}
	return all
}

var update = flag.Bool("update", false, "write the golden files")

func TestHelp_Golden(t *testing.T) {
	p, stdout, _ := newProgram(t, "")
	root, _ := p.root()
	p.main(t.Context(), []string{"help"})
	for _, cmd := range names(root) {
		stdout.WriteString("\n# " + cmd.Name() + "\n\n")
		p.main(t.Context(), []string{"help", cmd.Name()})
		for _, of := range cmd.Commands() {
			if cmd.Name() == "completion" { // cobra's own words
				continue
			}
			stdout.WriteString("\n# " + cmd.Name() + " " + of.Name() + "\n\n")
			p.main(t.Context(), []string{"help", cmd.Name(), of.Name()})
		}
	}
	const file = "testdata/help.golden"
	if *update {
		agenttest.Must(t, os.WriteFile(file, stdout.Bytes(), 0o644))
	}
	want, err := os.ReadFile(file)
	agenttest.Must(t, err)
	if got := stdout.String(); got != string(want) {
		t.Error(cmp.Diff(string(want), got))
	}
}

// TestEveryCommandIsDocumented: in the help, and in the guide.
func TestEveryCommandIsDocumented(t *testing.T) {
	p, _, _ := newProgram(t, "")
	root, _ := p.root()
	commands := names(root)
	if len(commands) != 13 {
		t.Errorf("%d commands", len(commands))
	}
	guide, err := os.ReadFile(filepath.Join("..", "..", "..", "templates", "guides", "drift-and-failures.md.tmpl"))
	agenttest.Must(t, err)
	for _, cmd := range commands {
		if cmd.Short == "" || cmd.Long == "" && cmd.Name() != "version" || !slices.Contains([]string{forPeople, forPrograms}, cmd.GroupID) {
			t.Errorf("%s: short %q, long %q, group %q", cmd.Name(), cmd.Short, cmd.Long, cmd.GroupID)
		}
		if !bytes.Contains(guide, []byte("| `routingmesh-agent "+cmd.Name())) {
			t.Errorf("%s is not in the guide's table of commands", cmd.Name())
		}
	}
	for code := range exitBroken + 1 {
		line := strings.Split(exitCodes, "\n")[code+1]
		if want := []byte{'0' + byte(code), ' '}; !strings.HasPrefix(line, "  "+string(want)) || !bytes.Contains(guide, []byte("| "+string(want)+"| ")) {
			t.Errorf("exit code %d is not in the help (%q) or not in the guide's table", code, line)
		}
	}
}

// TestWatch: what is shown is shown again until Ctrl-C, which is no failure; what is wrong from the start is one.
func TestWatch(t *testing.T) {
	for _, args := range []string{"status --watch", "service ls --watch", "service ps web --watch", "node ls --watch"} {
		p, stdout, stderr := newProgram(t, "")
		answers := statusOf(t, true)
		answers["GET "+mesh.PathSlots] = mesh.Slots{}
		agenttest.Serve(t, p.Socket(), answers)
		ctx, stop := context.WithCancel(t.Context())
		p.stdout = &stopping{to: stdout, stop: stop}
		if code := p.main(ctx, strings.Fields(args)); code != exitOK || !strings.HasPrefix(stdout.String(), "--- ") || strings.Count(stdout.String(), "\n") < 3 || stderr.Len() > 0 {
			t.Errorf("%s: exit code %d, %q %q", args, code, stdout, stderr)
		}
	}
	p, stdout, stderr := newProgram(t, "")
	if code := p.main(t.Context(), []string{"status", "--watch"}); code != exitNotRunning || stdout.Len() > 0 || !strings.Contains(stderr.String(), "not installed here") {
		t.Errorf("without an agent: exit code %d, %q %q", code, stdout, stderr)
	}
}

// stopping is a stdout whose reader presses Ctrl-C when it has seen the first page.
type stopping struct {
	to   io.Writer
	stop func()
}

func (s *stopping) Write(p []byte) (int, error) {
	defer s.stop()
	return s.to.Write(p)
}
