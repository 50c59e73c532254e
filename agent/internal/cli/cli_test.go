package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
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

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name   string
		args   string
		want   int
		stderr string
	}{
		{"no subcommand", "", exitUsage, "uninstall"},
		{"an unknown subcommand", "start", exitUsage, `no subcommand "start"`},
		{"an argument too many", "run now", exitUsage, "takes no arguments"},
		{"an unknown flag", "status --yaml", exitUsage, "yaml"},
		{"help", "help", exitOK, ""},
		{"help of a subcommand", "status -h", exitOK, "json"},
		{"version", "version", exitOK, ""},
		{"dial-stdio without an agent", "dial-stdio", exitNotRunning, "systemctl status routingmesh-agent"},
		{"trace without a port", "trace", exitUsage, "takes one argument"},
		{"trace of two ports", "trace 80 81", exitUsage, "takes one argument"},
		{"trace of no port", "trace web --json", exitFailed, "want PORT or PORT/PROTOCOL"},
		{"check with an argument", "check now", exitUsage, "takes no arguments"},
		{"help of trace", "trace --help", exitOK, "json"},
		{"status without an agent", "status", exitNotRunning, "not running"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _, stderr := newProgram(t, "")
			if code := p.main(t.Context(), strings.Fields(tt.args)); code != tt.want || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit code %d, stderr %q; want %d, %q", code, stderr, tt.want, tt.stderr)
			}
		})
	}
}
