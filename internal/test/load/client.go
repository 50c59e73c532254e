package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// Program is the folder of the generator in the checkout, to be built for the hosts of the lab.
const Program = "internal/test/load/generator"

// Generator is a load that runs.
type Generator struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	errs strings.Builder
	news chan struct{} // has room for one: there are requests that nobody has seen
	gone chan struct{} // closed when the program has ended

	mu       sync.Mutex
	said     int // the number of the latest word
	waits    map[int]chan Report
	requests []Request
	ended    error // read once gone is closed
}

// Start starts it: command is ssh to its host with the program and its arguments.
func Start(command *exec.Cmd) (*Generator, error) {
	g := &Generator{cmd: command, news: make(chan struct{}, 1), gone: make(chan struct{}), waits: map[int]chan Report{}}
	command.Stderr = &g.errs
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if g.in, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	go g.read(out)
	return g, nil
}

// read reads lines of any length: the failures of a busy row are one line.
func (g *Generator) read(out io.Reader) {
	defer close(g.gone)
	lines := bufio.NewReader(out)
	var err error
	for err == nil {
		var line []byte
		line, err = lines.ReadBytes('\n')
		if l, is := parseLine(line); is {
			g.take(l)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	_, _ = io.Copy(io.Discard, out) // so that it can end
	err = errors.Join(err, g.cmd.Wait(), errors.New(strings.TrimSpace(g.errs.String())))
	g.ended = fmt.Errorf("the load has ended: %w", err)
}

// take gives an answer to the caller that waits for it. An answer that comes after its caller has given up is dropped.
func (g *Generator) take(l Line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.Answer != nil {
		if wait := g.waits[l.Answer.Number]; wait != nil {
			delete(g.waits, l.Answer.Number)
			wait <- *l.Answer // it has room for one
		}
		return
	}
	g.requests = append(g.requests, *l.Request)
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// Say says a word and waits for its answer.
func (g *Generator) Say(ctx context.Context, words ...string) (Report, error) {
	answer := make(chan Report, 1)
	g.mu.Lock()
	g.said++
	number := g.said
	g.waits[number] = answer
	g.mu.Unlock()
	defer g.forget(number)
	if _, err := fmt.Fprintf(g.in, "%d %s\n", number, strings.Join(words, " ")); err != nil {
		return Report{}, fmt.Errorf("the load: %w", err)
	}
	select {
	case r := <-answer:
		return taken(r, words)
	case <-g.gone:
		select {
		case r := <-answer: // its last line
			return taken(r, words)
		default:
			return Report{}, g.ended
		}
	case <-ctx.Done():
		return Report{}, fmt.Errorf("no answer of the load to %q: %w; the last requests that failed: %v", words[0], ctx.Err(), g.failed(5))
	}
}

func taken(r Report, words []string) (Report, error) {
	if r.Error != "" {
		return r, fmt.Errorf("the load does not take %q: %s", strings.Join(words, " "), r.Error)
	}
	return r, nil
}

func (g *Generator) forget(number int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waits, number)
}

// Requests are those of the probes so far, in the order in which they ended.
func (g *Generator) Requests() []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}

// failed are the latest n requests of the probes that failed.
func (g *Generator) failed(n int) []Request {
	all := slices.DeleteFunc(g.Requests(), func(r Request) bool { return !r.Failed() })
	return all[max(0, len(all)-n):]
}

// Await waits until the requests of the probes so far meet a condition. One caller at a time may wait.
func (g *Generator) Await(ctx context.Context, met func([]Request) bool) error {
	for !met(g.Requests()) {
		select {
		case <-g.news:
		case <-g.gone:
			if met(g.Requests()) {
				return nil
			}
			return g.ended
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Stop ends the load. What was under way is lost.
func (g *Generator) Stop() {
	_ = g.in.Close() // it ends anyway
	<-g.gone
}
