// Command routingmesh-agent owns the routing mesh's kernel state on one host:
// it keeps the cluster's record, applies it, repairs it and says what differs.
// The Terraform provider uploads it and talks to it through dial-stdio.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -X main.version=1.2.3.
var version = "dev"

const usage = `routingmesh-agent keeps this host's part of a routing mesh.

  status [--json]   show the node, its ports and what differs from the record
  version           show the version and the checksum of this program
  uninstall         remove the mesh and this program from the host

Used by the Terraform provider and the init system:

  install           install this program and (re)start it as a service
  run               serve; started by the init system
  dial-stdio        join stdin and stdout to the agent's socket
`

// Exit codes.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNotRunning = 3 // dial-stdio and status: no agent answers on the socket
)

// program is what the subcommands share.
type program struct {
	layout
	stdin          io.ReadCloser
	stdout, stderr io.Writer
	log            *slog.Logger
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	p := &program{
		layout: layout{root: "/"}, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
	}
	code := p.main(ctx, os.Args[1:])
	stop()
	os.Exit(code)
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
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	var run func(context.Context) error
	switch args[0] {
	case "run":
		run = p.run
	case "dial-stdio":
		run = p.dialStdio
	case "status":
		asJSON := flags.Bool("json", false, "print the status as JSON, as the provider reads it")
		run = func(ctx context.Context) error { return p.status(ctx, *asJSON) }
	case "install":
		run = p.install
	case "uninstall":
		run = p.uninstall
	case "version":
		run = p.version
	case "help", "-h", "--help":
		fmt.Fprint(p.stdout, usage)
		return exitOK
	default:
		fmt.Fprintf(p.stderr, "routingmesh-agent: there is no subcommand %q\n\n%s", args[0], usage)
		return exitUsage
	}
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil || flags.NArg() > 0 {
		fmt.Fprintf(p.stderr, "routingmesh-agent %s takes no arguments but its flags\n", args[0])
		return exitUsage
	}
	return p.exitCode(run(ctx))
}

func (p *program) exitCode(err error) int {
	var absent *notRunningError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &absent): // without the HTTP client's words around it
		fmt.Fprintln(p.stderr, "routingmesh-agent:", absent)
		return exitNotRunning
	default:
		fmt.Fprintln(p.stderr, "routingmesh-agent:", err)
		return exitFailed
	}
}
