// Package cli is the command line of the agent: the tree of commands, one file each.
// What they do is in packages of their own.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/installer"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/report"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	plaintext "github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// program is what the commands share.
type program struct {
	layout.Layout
	version        string
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
}

// Main runs the command of the arguments and returns the exit code.
func Main(version string, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	p := &program{
		Layout: layout.Layout{Root: "/"}, version: version, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
	}
	if exe, err := os.Readlink(layout.OwnExecutable); err == nil {
		p.Layout = p.OfProgram(exe)
	}
	return p.main(ctx, args)
}

// withoutTime leaves the time to the journal.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// main runs the command and returns the exit code.
func (p *program) main(ctx context.Context, args []string) int {
	root, started := p.root() //nolint:contextcheck // cobra hands it to the command that runs
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !*started {
		return p.usageError(cmd, err)
	}
	return p.exitCode(cmd, err)
}

func (p *program) installer() *installer.Installer {
	return &installer.Installer{Layout: p.Layout, Version: p.version, Stdout: p.stdout, Stderr: p.stderr, Log: p.log}
}

func (p *program) reporter() *report.Reporter { return p.reporterOn(p.screen()) }

// reporterOn shows what it has to say on a screen.
func (p *program) reporterOn(s term.Screen) *report.Reporter {
	// Names of processes, comments of rules, answers of peers: what is shown may be others' words. The screen cleans them, too.
	return &report.Reporter{Layout: p.Layout, Stdout: s, Stderr: plaintext.Writer(p.stderr), Log: p.log}
}

// screen is where stdout is shown, as it is now.
func (p *program) screen() term.Screen {
	if f, ok := p.stdout.(*os.File); ok {
		return term.Of(f, os.Getenv)
	}
	return term.Screen{Out: p.stdout, Columns: term.Columns}
}
