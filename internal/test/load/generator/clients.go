package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

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
	f := flag.NewFlagSet("clients", flag.ContinueOnError)
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

// runClients has the clients ask until the input ends.
func runClients(ctx context.Context, p plan, in io.Reader, out *output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := newClients(p)
	done := l.start(ctx)
	defer func() { cancel(); <-done }()
	return words{
		load.WordMark:  func(string) load.Report { return l.tally.mark(ctx) },
		load.WordTo:    l.to,
		load.WordThink: l.thinks,
	}.answer(in, out)
}

func (l *clients) to(args string) load.Report {
	targets := strings.Fields(args)
	if len(targets) == 0 {
		return load.Report{Error: "there is no target to ask"}
	}
	r := load.Report{At: l.tally.now()}
	l.aim(targets)
	return r
}

func (l *clients) thinks(args string) load.Report {
	pause, err := time.ParseDuration(args)
	if err != nil || pause <= 0 {
		return load.Report{Error: "no time to think"}
	}
	l.setPause(pause)
	return load.Report{At: l.tally.now()}
}

// clients are many of them.
type clients struct {
	plan
	tally   *tally
	waiting waiting

	mu      sync.Mutex
	left    *sync.Cond // broadcast whenever a connection is closed
	targets []string
	open    map[string]int // connections by target
	pause   time.Duration  // between two requests of a client, on average
}

func newClients(p plan) *clients {
	l := &clients{plan: p, tally: newTally(nil), targets: p.targets, open: map[string]int{}, pause: p.think}
	l.waiting.all = map[*wait]bool{}
	l.left = sync.NewCond(&l.mu)
	return l
}

// start starts all clients; done is closed when all have ended, after ctx has.
func (l *clients) start(ctx context.Context) (done chan struct{}) {
	var all sync.WaitGroup
	for i := range l.newClients + l.keepClients {
		c := &client{clients: l, name: fmt.Sprintf("c%d", i), port: l.firstPort + i*portsPerClient, turn: i, each: 1}
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
func (l *clients) aim(targets []string) {
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
func (l *clients) pick(turn int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	target := l.targets[turn%len(l.targets)]
	l.open[target]++
	return target
}

func (l *clients) aimedAt(target string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.targets, target)
}

// setPause changes the pause between two requests of a client.
func (l *clients) setPause(pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause = pause
}

// nextPause is half as long as the average to one and a half times as long.
func (l *clients) nextPause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration((0.5 + rand.Float64()) * float64(l.pause))
}

func (l *clients) closed(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[target]--
	l.left.Broadcast()
}

// client makes one request after another.
type client struct {
	*clients
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
