package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

const (
	askSource  = "internal/test/bench/swarm/ask"
	askProgram = "/run/bench-ask"

	every = 100 * time.Millisecond
	// patience is as in the fault table: an emulated machine stands still for a second at times, and tcp sends a lost
	// packet again after one, so that a shorter one counts what no person would have noticed.
	patience = 4 * time.Second
	// settled is how many answers in a row make a port one that answers again.
	settled = 3
)

// A request is one of the client's, to a target, "192.168.200.10:8080".
type request struct {
	at     float64 // seconds since the client's start
	target string
	ok     bool
}

// parseRequest reads a line of the program ask.
func parseRequest(line string) (request, error) {
	var r request
	var code int
	if _, err := fmt.Sscan(line, &r.at, &r.target, &code); err != nil {
		return r, fmt.Errorf("the steady client says %q, no request: %w", line, err)
	}
	r.ok = code == 200
	return r, nil
}

// A client asks its targets, on the lab's client, until stop.
type client struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	errs strings.Builder
	news chan struct{} // closed when the program has ended

	mu       sync.Mutex
	requests []request
	ended    error
}

// putClient brings the program to the lab's client.
func putClient(ctx context.Context, lab *rig.Lab) error {
	program := filepath.Join(lab.Dir, "bench", "ask")
	if err := lab.BuildFor(ctx, askSource, program); err != nil {
		return err
	}
	return lab.Put(ctx, program, askProgram, "client")
}

// ask starts a client, and returns when it asks: the login is over.
func ask(ctx context.Context, lab *rig.Lab, targets []string) (*client, error) {
	c := &client{news: make(chan struct{}, 1)}
	c.cmd = lab.Command(ctx, "client", fmt.Sprintf("%s %s %s %s", askProgram, every, patience, strings.Join(targets, " ")))
	c.cmd.Stderr = &c.errs
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go c.read(out)
	err = c.await(ctx, "say anything", func(all []request) bool { return len(all) > 0 })
	if err != nil {
		c.stop()
	}
	return c, err
}

func (c *client) read(out io.Reader) {
	defer close(c.news)
	var failed error
	lines := bufio.NewScanner(out)
	for failed == nil && lines.Scan() {
		var r request
		if r, failed = parseRequest(lines.Text()); failed == nil {
			c.mu.Lock()
			c.requests = append(c.requests, r)
			c.mu.Unlock()
		}
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
	_, _ = io.Copy(io.Discard, out) // so that it can end
	failed = errors.Join(failed, lines.Err(), c.cmd.Wait())
	c.mu.Lock()
	c.ended = fmt.Errorf("the steady client ended: %w: %s", failed, strings.TrimSpace(c.errs.String()))
	c.mu.Unlock()
}

func (c *client) all() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// await waits until the requests so far meet a condition; what is said when they do not for three minutes.
func (c *client) await(ctx context.Context, what string, met func([]request) bool) error {
	const deadline = 3 * time.Minute
	late := time.NewTimer(deadline)
	defer late.Stop()
	for !met(c.all()) {
		select {
		case _, more := <-c.news:
			if !more {
				return c.ended
			}
		case <-late.C:
			return fmt.Errorf("the client waited %s for the nodes to %s, in vain", deadline, what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// stop ends it, and returns all requests.
func (c *client) stop() []request {
	_ = c.in.Close() // it ends anyway
	for range c.news {
	}
	return c.all()
}
