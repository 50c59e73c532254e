package swarm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

const (
	askProgram = "/run/bench-load"
	every      = 100 * time.Millisecond
)

// A client probes its targets, on the lab's client, until stop; every request of the probes is seen here.
type client struct {
	*load.Generator
}

// putClient brings the program to the lab's client.
func putClient(ctx context.Context, lab *rig.Lab) error {
	program := filepath.Join(lab.Dir, "bench", "load")
	if err := lab.BuildFor(ctx, load.Program, program); err != nil {
		return err
	}
	return lab.Put(ctx, program, askProgram, "client")
}

// ask starts a client, and returns when it asks: the login is over.
func ask(ctx context.Context, lab *rig.Lab, targets []load.Target) (*client, error) {
	g, err := load.Start(lab.Command(ctx, "client", load.Command(askProgram, true, targets...)))
	if err != nil {
		return nil, err
	}
	c := &client{g}
	err = c.await(ctx, "say anything", func(all []load.Request) bool { return len(all) > 0 })
	if err != nil {
		c.stop()
	}
	return c, err
}

// await waits until the requests so far meet a condition; what is said when they do not for three minutes.
func (c *client) await(ctx context.Context, what string, met func([]load.Request) bool) error {
	const deadline = 3 * time.Minute
	errLate := fmt.Errorf("the client waited %s for the nodes to %s, in vain", deadline, what)
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, errLate)
	defer cancel()
	err := c.Await(ctx, met)
	if err != nil && errors.Is(context.Cause(ctx), errLate) {
		return errLate
	}
	return err
}

// stop ends it, and returns all requests.
func (c *client) stop() []load.Request {
	c.Stop()
	return c.Requests()
}
