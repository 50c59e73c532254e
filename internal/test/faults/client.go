package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// Client is a steady client that runs.
type Client struct {
	Targets []Target
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers map[string]chan Report

	mu      sync.Mutex
	reports []Report
	ended   error
	gone    chan struct{}
}

// StartClient starts it: command is ssh to its host with the program and "ask", to which the targets are added.
func StartClient(command *exec.Cmd, targets []Target) (*Client, error) {
	c := &Client{
		Targets: targets, cmd: command, gone: make(chan struct{}),
		answers: map[string]chan Report{WordMark: make(chan Report), WordServed: make(chan Report)},
	}
	for _, t := range targets {
		command.Args = append(command.Args, t.String())
	}
	var errs strings.Builder
	command.Stderr = &errs
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.in, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.read(out)
		err := command.Wait()
		c.mu.Lock()
		c.ended = fmt.Errorf("the steady client ended: %w", errors.Join(err, errors.New(strings.TrimSpace(errs.String()))))
		c.mu.Unlock()
		close(c.gone)
	}()
	return c, nil
}

func (c *Client) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var r Report
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // an ssh banner
		}
		if answer := c.answers[r.Word]; answer != nil {
			answer <- r
			continue
		}
		c.mu.Lock()
		c.reports = append(c.reports, r)
		c.mu.Unlock()
	}
}

// Say says a word and waits for its answer.
func (c *Client) Say(ctx context.Context, word string) (Report, error) {
	if _, err := io.WriteString(c.in, word+"\n"); err != nil {
		return Report{}, fmt.Errorf("the steady client: %w", err)
	}
	select {
	case r := <-c.answers[word]:
		return r, nil
	case <-c.gone:
		return Report{}, c.ended
	case <-ctx.Done():
		return Report{}, fmt.Errorf("no answer of the steady client to %q: %w; the last requests that failed: %v", word, ctx.Err(), c.last(5))
	}
}

// Reports are all requests that have failed so far.
func (c *Client) Reports() []Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Report(nil), c.reports...)
}

func (c *Client) last(n int) []Report {
	all := c.Reports()
	return all[max(0, len(all)-n):]
}

// Stop ends the client.
func (c *Client) Stop() {
	_ = c.in.Close()
	<-c.gone
}
