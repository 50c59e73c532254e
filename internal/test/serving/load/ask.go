package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// load is the clients.
type load struct {
	plan
	tally   *tally
	waiting waiting

	mu      sync.Mutex
	left    *sync.Cond // broadcast whenever a connection is closed
	targets []string
	open    map[string]int // connections by target
	pause   time.Duration  // between two requests of a client, on average
}

func newLoad(p plan) *load {
	l := &load{plan: p, tally: newTally(), targets: p.targets, open: map[string]int{}, pause: p.think}
	l.waiting.all = map[*wait]bool{}
	l.left = sync.NewCond(&l.mu)
	return l
}

// start starts all clients; done is closed when all have ended, after ctx has.
func (l *load) start(ctx context.Context) (done chan struct{}) {
	var all sync.WaitGroup
	for i := range l.newClients + l.keepClients {
		c := &client{load: l, name: fmt.Sprintf("c%d", i), port: l.firstPort + i*portsPerClient, turn: i, each: 1}
		if i >= l.newClients {
			c.keep, c.each = true, l.each
		}
		all.Go(func() { c.run(ctx) })
	}
	all.Go(func() { l.waiting.pass(ctx) })
	done = make(chan struct{})
	go func() { all.Wait(); close(done) }()
	return done
}

// aim changes the targets, and waits until no connection to another one is left.
func (l *load) aim(targets []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.targets = targets
	for {
		stray := false
		for target, n := range l.open {
			stray = stray || n > 0 && !slices.Contains(targets, target)
		}
		if !stray {
			return
		}
		l.left.Wait()
	}
}

// pick is the target for a client's turn: it goes round.
func (l *load) pick(turn int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	target := l.targets[turn%len(l.targets)]
	l.open[target]++
	return target
}

func (l *load) aimedAt(target string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.targets, target)
}

// think changes the pause between two requests of a client.
func (l *load) think(pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause = pause
}

// nextPause is half as long as the average to one and a half times as long.
func (l *load) nextPause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration((0.5 + rand.Float64()) * float64(l.pause))
}

func (l *load) closed(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[target]--
	l.left.Broadcast()
}

// client makes one request after another.
type client struct {
	*load
	name string
	port int // the first of its source ports
	keep bool
	each int // requests per connection

	turn, asked int
	conn        *conn // nil when there is none
	target      string
}

func (c *client) run(ctx context.Context) {
	pause := time.NewTimer(time.Duration(rand.Float64() * float64(c.plan.think))) // so that they do not begin all at once
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			c.hangUp()
			return
		case <-pause.C:
		}
		c.request(ctx)
		pause.Reset(c.nextPause())
	}
}

// request is one request, on the connection that there is, or on a new one. One that the load's end has cut is not counted as failed, for
// nobody asks any more.
func (c *client) request(ctx context.Context) {
	c.asked++
	connects := c.conn == nil
	if connects {
		c.turn++
		c.target = c.pick(c.turn)
	}
	r := c.tally.begin(c.keep, c.target, connects)
	ctx, cancel := c.waiting.within(ctx)
	defer cancel()
	server, err := c.ask(ctx)
	r.end(server, err)
}

func (c *client) ask(ctx context.Context) (server string, err error) {
	if c.conn == nil {
		if c.conn, err = dial(ctx, c.target, c.port, c.turn/len(c.plan.targets)); err != nil {
			c.conn = nil
			c.closed(c.target)
			return "", err
		}
	}
	last := c.conn.asked+1 >= c.each || !c.aimedAt(c.target)
	server, err = c.conn.ask(ctx, fmt.Sprintf("%s-%d", c.name, c.asked), last)
	if err != nil || last || c.conn.asked >= closing {
		if err != nil {
			c.conn.drop()
		}
		c.hangUp()
	}
	return server, err
}

func (c *client) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
		c.closed(c.target)
	}
}
