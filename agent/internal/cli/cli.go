// Package cli is the command line of the agent.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/client"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/daemon"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/installer"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/report"
)

const usage = `routingmesh-agent keeps this host's part of a routing mesh.

  status [--json]          show the node, its ports and what differs from the record
  check [--json]           check this host, and whether every other node is reached
  trace PORT[/udp] [--json]
                           show a packet's way to a published port, step by step,
                           with live counters, and where it is broken
  version                  show the version and the checksum of this program
  uninstall                remove the mesh and this program from the host

status, check and trace exit with 1 when something is wrong (status --json does not).

Used by the Terraform provider and the init system:

  install                  install this program and (re)start it as a service
  run                      serve; started by the init system
  sets                     make the empty IP sets that saved firewall rules name;
                           started at boot before those are loaded
  dial-stdio               join stdin and stdout to the agent's socket
`

// Exit codes.
const (
	exitOK         = 0
	exitFailed     = 1 // also: check or trace found something
	exitUsage      = 2
	exitNotRunning = 3 // dial-stdio and status: no agent answers on the socket
)

// program is what the subcommands share.
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
	p := &program{
		Layout: layout.Layout{Root: "/"}, version: version, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
	}
	if exe, err := os.Readlink(layout.OwnExecutable); err == nil {
		p.Layout = p.OfProgram(exe)
	}
	defer stop()
	return p.main(ctx, args)
}

// withoutTime leaves the time to the journal.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// main runs the subcommand and returns the exit code.
func (p *program) main(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(p.stderr, usage)
		return exitUsage
	}
	run, ok := p.subcommands()[args[0]]
	switch {
	case ok:
		return run(ctx, args[0], args[1:])
	case args[0] == "help" || args[0] == "-h" || args[0] == "--help":
		fmt.Fprint(p.stdout, usage)
		return exitOK
	default:
		fmt.Fprintf(p.stderr, "routingmesh-agent: there is no subcommand %q\n\n%s", args[0], usage)
		return exitUsage
	}
}

// subcommand runs with its name and arguments and returns the exit code.
type subcommand func(ctx context.Context, name string, args []string) int

func (p *program) subcommands() map[string]subcommand {
	return map[string]subcommand{
		"run":        p.plain((&daemon.Daemon{Layout: p.Layout, Version: p.version, Log: p.log}).Run),
		"dial-stdio": p.plain(p.dialStdio),
		"install":    p.plain(p.installer().Install),
		"sets":       p.plain(p.installer().MakeSets),
		"uninstall":  p.plain(p.installer().Uninstall),
		"version":    p.plain(p.showVersion),
		"status": p.telling(0, "status", func(ctx context.Context, _ []string, asJSON bool) error {
			return p.reporter().Status(ctx, asJSON)
		}),
		"check": p.telling(0, "report", func(ctx context.Context, _ []string, asJSON bool) error {
			return p.reporter().Check(ctx, asJSON)
		}),
		"trace": p.telling(1, "trace", func(ctx context.Context, args []string, asJSON bool) error {
			return p.reporter().Trace(ctx, args[0], asJSON)
		}),
	}
}

// plain is a subcommand without flags and arguments.
func (p *program) plain(run func(context.Context) error) subcommand {
	return func(ctx context.Context, name string, args []string) int {
		flags := p.flags(name)
		if _, code, ok := p.parse(flags, args, 0); !ok {
			return code
		}
		return p.exitCode(run(ctx))
	}
}

// telling is a subcommand with a number of arguments that tells something, to a
// person or as JSON.
func (p *program) telling(arguments int, what string, run func(ctx context.Context, args []string, asJSON bool) error) subcommand {
	return func(ctx context.Context, name string, args []string) int {
		flags := p.flags(name)
		asJSON := flags.Bool("json", false, "print the "+what+" as JSON, for programs")
		rest, code, ok := p.parse(flags, args, arguments)
		if !ok {
			return code
		}
		return p.exitCode(run(ctx, rest, *asJSON))
	}
}

func (p *program) flags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	return flags
}

// parse takes flags before and after the arguments. Where it is not ok there is
// nothing to run, but an exit code.
func (p *program) parse(flags *flag.FlagSet, args []string, arguments int) (rest []string, code int, ok bool) {
	for {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return nil, exitOK, false
		}
		if err != nil {
			return nil, exitUsage, false // flag has said why
		}
		if flags.NArg() == 0 {
			break
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
	if len(rest) != arguments {
		want := "takes no arguments but its flags"
		if arguments == 1 {
			want = "takes one argument, a published port: as in 8080 or 53/udp"
		}
		fmt.Fprintf(p.stderr, "routingmesh-agent %s %s\n", flags.Name(), want)
		return nil, exitUsage, false
	}
	return rest, exitOK, true
}

func (p *program) exitCode(err error) int {
	var absent *client.NotRunningError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, report.ErrBroken):
		return exitFailed
	case errors.As(err, &absent): // without the HTTP client's words around it
		fmt.Fprintln(p.stderr, "routingmesh-agent:", absent)
		return exitNotRunning
	default:
		fmt.Fprintln(p.stderr, "routingmesh-agent:", err)
		return exitFailed
	}
}

func (p *program) installer() *installer.Installer {
	return &installer.Installer{Layout: p.Layout, Version: p.version, Stdout: p.stdout, Stderr: p.stderr, Log: p.log}
}

func (p *program) reporter() *report.Reporter {
	return &report.Reporter{Layout: p.Layout, Stdout: p.stdout, Stderr: p.stderr, Log: p.log}
}

func (p *program) dialStdio(ctx context.Context) error {
	return client.New(p.Socket()).Join(ctx, p.stdin, p.stdout)
}

func (p *program) showVersion(context.Context) error {
	digest, err := layout.FileDigest(layout.OwnExecutable)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "routingmesh-agent %s linux/%s sha256:%s\n", p.version, runtime.GOARCH, digest)
	return err
}
