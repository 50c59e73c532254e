package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/faults"
)

// asker counts the requests. A new one does not wait for the one before it.
type asker struct {
	start   time.Time
	targets []faults.Target

	mu       sync.Mutex
	ended    *sync.Cond // broadcast whenever a request ends
	out      *json.Encoder
	asked    map[string]int
	underway map[int]float64 // when requests began that have not ended
	next     int
	streak   map[string]streak
}

// streak is a row of answers without a failure between them.
type streak struct {
	answers int
	since   float64 // when the first of them was asked
}

func newAsker(targets []faults.Target, out io.Writer) *asker {
	a := &asker{
		start: time.Now(), targets: targets, out: json.NewEncoder(out),
		asked: map[string]int{}, underway: map[int]float64{}, streak: map[string]streak{},
	}
	a.ended = sync.NewCond(&a.mu)
	return a
}

func (a *asker) now() float64 { return time.Since(a.start).Seconds() }

func (a *asker) keepAsking(ctx context.Context, t faults.Target) {
	tick := time.NewTicker(t.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			go a.askOnce(ctx, t)
		}
	}
}

func (a *asker) askOnce(ctx context.Context, t faults.Target) {
	id, at := a.begin(t)
	err := request(ctx, t)
	a.end(t, id, at, err)
}

func (a *asker) begin(t faults.Target) (id int, at float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	at = a.now()
	a.asked[t.Name()]++
	a.underway[a.next] = at
	return a.next, at
}

func (a *asker) end(t faults.Target, id int, at float64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.underway, id)
	s := a.streak[t.Name()]
	switch {
	case err != nil:
		s = streak{}
		a.say(faults.Report{Target: t.Name(), At: at, Error: err.Error()})
	case s.answers == 0:
		s = streak{1, at}
	default:
		s.answers++
	}
	a.streak[t.Name()] = s
	a.ended.Broadcast()
}

// say is called with mu held. Nobody is left to hear of a failure to write.
func (a *asker) say(r faults.Report) {
	if err := a.out.Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, "steady:", err)
	}
}

// answer answers a word as soon as it can; until then it waits for requests to end.
func (a *asker) answer(ctx context.Context, word string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.now()
	met := map[string]func(float64) bool{faults.WordMark: a.nothingSince, faults.WordServed: a.servedSince}[word]
	if met == nil {
		a.say(faults.Report{Word: word, At: at, Error: "no such word"})
		return
	}
	for !met(at) && ctx.Err() == nil {
		a.ended.Wait()
	}
	a.say(faults.Report{Word: word, At: at, Asked: maps.Clone(a.asked)})
}

// nothingSince says that no request from before is under way.
func (a *asker) nothingSince(at float64) bool {
	for _, began := range a.underway {
		if began <= at {
			return false
		}
	}
	return true
}

// servedSince says that every target answers again. A row that began earlier starts anew, so that an answer that was under way says
// nothing of now.
func (a *asker) servedSince(at float64) bool {
	served := true
	for _, t := range a.targets {
		s := a.streak[t.Name()]
		if s.answers > 0 && s.since < at {
			a.streak[t.Name()] = streak{}
		}
		served = served && s.answers >= faults.Settled && s.since >= at
	}
	return served && a.nothingSince(at)
}

// request is one question over a new connection.
func request(ctx context.Context, t faults.Target) error {
	ctx, cancel := context.WithTimeout(ctx, faults.Patience)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, t.Network+"4", t.Address.String())
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if t.Network == "udp" {
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
