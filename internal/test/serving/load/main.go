// Command load is many clients that ask a mesh all the time, and the server that they ask.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/serving"
)

const usage = `load serve ADDRESS:PORT       HTTP; each answer names the host, the port and the request
load ask [OPTION]... ADDRESS:PORT...
                              on stdin: words; on stdout: lines of JSON (package serving, Report)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1])
	case len(args) >= 2 && args[0] == "ask":
		p, err := parsePlan(args[1:])
		if err != nil {
			return err
		}
		return ask(ctx, p, in, out)
	}
	return fmt.Errorf("usage:\n%s", usage)
}

// plan is what the clients do.
type plan struct {
	newClients, keepClients int
	think                   time.Duration // between two requests of a client, on average
	each                    int           // requests on a connection that is kept
	firstPort, ports        int           // source ports
	targets                 []string
}

func parsePlan(args []string) (plan, error) {
	var p plan
	f := flag.NewFlagSet("load ask", flag.ContinueOnError)
	f.IntVar(&p.newClients, "new", 100, "clients with a new connection for each request")
	f.IntVar(&p.keepClients, "keep", 100, "clients that keep their connection")
	f.DurationVar(&p.think, "think", time.Second, "pause of a client between two requests, on average")
	f.IntVar(&p.each, "each", 100, "requests on a connection that is kept")
	f.IntVar(&p.firstPort, "first-port", 20000, "first source port; a client has two, and uses them again and again")
	if err := f.Parse(args); err != nil {
		return p, err
	}
	p.targets = f.Args()
	p.ports = portsPerClient * (p.newClients + p.keepClients)
	if len(p.targets) == 0 || p.each < 1 || p.think <= 0 || p.firstPort < 1 || p.firstPort+p.ports > 1<<16 {
		return p, fmt.Errorf("there is nothing to ask, or an option is out of range\n%s", usage)
	}
	return p, nil
}

// ask asks until its input ends: the connection that started it is gone then.
func ask(ctx context.Context, p plan, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := newLoad(p)
	done := l.start(ctx)
	defer func() { cancel(); <-done }()
	answers := json.NewEncoder(out)
	words := bufio.NewScanner(in)
	for words.Scan() {
		word, rest, _ := strings.Cut(words.Text(), " ")
		var r serving.Report
		switch targets := strings.Fields(rest); {
		case word == serving.WordMark:
			r = l.tally.mark()
		case word == serving.WordTo && len(targets) > 0:
			r.At = l.tally.now()
			l.aim(targets)
		case word == serving.WordThink:
			pause, err := time.ParseDuration(rest)
			if err != nil || pause <= 0 {
				r.Error = "no time to think"
				break
			}
			r.At = l.tally.now()
			l.think(pause)
		default:
			r.Error = "no such word"
		}
		r.Word = word
		if err := answers.Encode(r); err != nil {
			return err
		}
	}
	return words.Err()
}
