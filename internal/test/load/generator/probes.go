package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// probes asks each target at its interval. A request does not wait for the one before it: one that hangs says nothing of the next one.
type probes struct {
	targets []load.Target
	tally   *tally
}

// newProbes shows every request that ends, or those that fail.
func newProbes(targets []load.Target, all bool, out *output) *probes {
	return &probes{targets, newTally(func(r load.Request) {
		if all || r.Failed() {
			out.write(load.Line{Request: &r})
		}
	})}
}

// runProbes asks until the input ends. What is under way then is cut off, which must not look like a request that failed.
func runProbes(ctx context.Context, targets []load.Target, all bool, in io.Reader, out *output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() { out.close(); cancel() }()
	p := newProbes(targets, all, out)
	for _, t := range targets {
		go p.keepAsking(ctx, t)
	}
	return words{
		load.WordMark:   func(string) load.Report { return p.tally.mark(ctx) },
		load.WordServed: func(string) load.Report { return p.tally.served(ctx, targets) },
	}.answer(in, out)
}

func (p *probes) keepAsking(ctx context.Context, t load.Target) {
	tick := time.NewTicker(t.Every)
	defer tick.Stop()
	for {
		go p.askOnce(ctx, t)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *probes) askOnce(ctx context.Context, t load.Target) {
	r := p.tally.begin(false, t.Name(), true)
	r.end("", probe(ctx, t))
}

// probe is one question over a new connection.
func probe(ctx context.Context, t load.Target) error {
	ctx, cancel := context.WithTimeout(ctx, load.Patience)
	defer cancel()
	network := "tcp4"
	if t.Network == load.UDP {
		network = "udp4"
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, t.Address.String())
	if err != nil {
		return err
	}
	defer c.Close()
	return probeOn(ctx, c, t)
}

func probeOn(ctx context.Context, c net.Conn, t load.Target) error {
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if t.Network == load.HTTP {
		return probeHTTP(ctx, newConn(c, t.Address.String()))
	}
	return probeName(c, t.Network == load.UDP)
}

// probeName asks for a name, which a server of ours gives at once over tcp.
func probeName(c net.Conn, ask bool) error {
	if ask {
		if _, err := c.Write([]byte("who?\n")); err != nil {
			return err
		}
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	if n == 0 && err == nil {
		err = errors.New("an empty answer")
	}
	return err
}

func probeHTTP(ctx context.Context, c *conn) error {
	answer, err := c.get(ctx, "/", true)
	if err == nil && answer.status != http.StatusOK {
		err = fmt.Errorf("status %d", answer.status)
	}
	return err
}
