// Command generator is the lab's load generator (package load says what its two kinds of load are for), and the servers that it asks. It is
// one process for all clients: a curl for each would take half of an emulated lab.
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
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

const usage = `generator serve http ADDRESS:PORT        each answer names the host, the port and the request
generator serve name ADDRESS:PORT        tcp and udp; each answer is the host's name
generator clients [OPTION]... ADDRESS:PORT...
                                         many clients, each of which waits for its answers, of "serve http"
generator probe [-all] TARGET...         asks each target at an interval, over new connections; tcp/192.168.200.10:8080/50ms, or udp or
                                         http; -all prints every request, else those that failed
clients and probe ask until their input ends. On stdin: words; on stdout: lines of JSON (package load, Line)
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
	var command string
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch {
	case command == "serve" && len(args) == 2 && args[0] == "http":
		return serve(ctx, args[1])
	case command == "serve" && len(args) == 2 && args[0] == "name":
		return serveName(ctx, args[1])
	case command == "clients":
		p, err := parsePlan(args)
		if err != nil {
			return err
		}
		return runClients(ctx, p, in, &output{json: json.NewEncoder(out)})
	case command == "probe":
		targets, all, err := parseProbes(args)
		if err != nil {
			return err
		}
		return runProbes(ctx, targets, all, in, &output{json: json.NewEncoder(out)})
	}
	return fmt.Errorf("usage:\n%s", usage)
}

func parseProbes(args []string) (targets []load.Target, all bool, err error) {
	f := flag.NewFlagSet("probe", flag.ContinueOnError)
	f.BoolVar(&all, "all", false, "print every request, not only those that failed")
	if err := f.Parse(args); err != nil {
		return nil, false, err
	}
	for _, a := range f.Args() {
		t, err := load.ParseTarget(a)
		if err != nil {
			return nil, false, err
		}
		targets = append(targets, t)
	}
	if len(targets) == 0 {
		return nil, false, fmt.Errorf("there is no target to ask\n%s", usage)
	}
	return targets, all, nil
}

// output writes lines, one at a time.
type output struct {
	mu     sync.Mutex
	json   *json.Encoder
	closed bool
}

// close has it write no more.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// write has nobody left to tell that it fails.
func (o *output) write(l load.Line) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if err := o.json.Encode(l); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
	}
}

// words are what a load answers, by name; each may take as long as it has to.
type words map[string]func(args string) load.Report

// answer answers words until the input ends: the connection that started the program is gone then. A word does not wait for the one
// before it, which may never come true.
func (w words) answer(in io.Reader, out *output) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		number, rest, _ := strings.Cut(lines.Text(), " ")
		word, args, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("%q does not begin with a number", lines.Text())
		}
		go func() {
			r := load.Report{Error: "no such word"}
			if say := w[word]; say != nil {
				r = say(args)
			}
			r.Number, r.Word = n, word
			out.write(load.Line{Answer: &r})
		}()
	}
	return lines.Err()
}
