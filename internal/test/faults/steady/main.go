// Command steady is a client that never stops asking, and the server that it asks: the traffic of the fault table.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/faults"
)

const usage = `steady serve ADDRESS:PORT    answers with the host's name, over tcp and udp
steady ask TARGET...         asks each target again and again, over new connections; TARGET is tcp/192.168.200.10:8080/50ms
                             on stdin: mark, served; on stdout: lines of JSON (package faults, Report)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "steady:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1])
	case len(args) >= 2 && args[0] == "ask":
		var targets []faults.Target
		for _, a := range args[1:] {
			t, err := faults.ParseTarget(a)
			if err != nil {
				return err
			}
			targets = append(targets, t)
		}
		return ask(ctx, targets, in, out)
	}
	return fmt.Errorf("usage:\n%s", usage)
}

// ask asks until its input ends: the connection that started it is gone then.
func ask(ctx context.Context, targets []faults.Target, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := newAsker(targets, out)
	for _, t := range targets {
		go a.keepAsking(ctx, t)
	}
	words := bufio.NewScanner(in)
	for words.Scan() {
		go a.answer(ctx, words.Text())
	}
	return words.Err()
}
