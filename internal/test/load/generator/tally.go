package main

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// tally counts requests. A request belongs to the row that was open when it began.
type tally struct {
	start time.Time
	show  func(load.Request) // of each request that has ended, with mu held; nil: those that failed are kept for the row's report

	mu       sync.Mutex
	changed  *sync.Cond // broadcast whenever a request ends
	open     *row
	began    int // requests so far
	underway map[*request]bool
	asked    map[string]int // by target, since the start
	streaks  map[string]streak
}

// row is what happens between two marks.
type row struct {
	report    load.Report
	latencies map[bool][]float64 // milliseconds, by whether the client keeps its connection
}

// streak is a row of answers of a target without a failure between them.
type streak struct {
	answers int
	from    int // the number of the request that the first of them answers
}

func newTally(show func(load.Request)) *tally {
	t := &tally{
		start: time.Now(), show: show, open: newRow(),
		underway: map[*request]bool{}, asked: map[string]int{}, streaks: map[string]streak{},
	}
	t.changed = sync.NewCond(&t.mu)
	return t
}

func newRow() *row {
	return &row{latencies: map[bool][]float64{}, report: load.Report{Servers: map[string]int{}}}
}

func (t *tally) now() float64 { return time.Since(t.start).Seconds() }

// request is one that is under way.
type request struct {
	tally  *tally
	row    *row
	number int
	at     float64
	keep   bool
	target string
}

// begin counts a request; connects says that it begins with a new connection.
func (t *tally) begin(keep bool, target string, connects bool) *request {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began++
	t.asked[target]++
	r := &request{tally: t, row: t.open, number: t.began, at: t.now(), keep: keep, target: target}
	t.underway[r] = true
	k := r.row.kind(keep)
	k.Requests++
	if connects {
		k.Connections++
	}
	return r
}

// end says what became of it: the name of the server, "" if that gave none, or why there is no answer.
func (r *request) end(server string, err error) {
	t := r.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	done := load.Request{Target: r.target, At: r.at, Took: t.now() - r.at, Keep: r.keep}
	if err != nil {
		done.Error = err.Error()
	}
	r.row.add(done, server)
	if t.show != nil {
		t.show(done)
	} else if err != nil {
		r.row.report.Failures = append(r.row.report.Failures, done)
	}
	t.streaks[r.target] = t.streaks[r.target].next(r.number, err == nil)
	delete(t.underway, r)
	t.changed.Broadcast()
}

func (r *row) add(done load.Request, server string) {
	if done.Failed() {
		r.kind(done.Keep).Failed++
		return
	}
	if server != "" {
		r.report.Servers[server]++
	}
	r.latencies[done.Keep] = append(r.latencies[done.Keep], done.Took*1000)
}

func (r *row) kind(keep bool) *load.Kind {
	if keep {
		return &r.report.Keep
	}
	return &r.report.New
}

func (s streak) next(number int, answered bool) streak {
	switch {
	case !answered:
		return streak{}
	case s.answers == 0:
		return streak{1, number}
	}
	s.answers++
	return s
}

// mark begins a new row and returns what there was in the one before, once all of its requests have ended.
func (t *tally) mark(ctx context.Context) load.Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, last := t.open, t.began
	t.open = newRow()
	r.report.At = t.now()
	t.await(ctx, func() bool { return t.allEnded(last) })
	for keep, all := range r.latencies {
		slices.Sort(all)
		k := r.kind(keep)
		k.P50, k.P99 = share(all, 0.5), share(all, 0.99)
	}
	r.report.Asked = maps.Clone(t.asked)
	return r.report
}

// served returns once every target answers again.
func (t *tally) served(ctx context.Context, targets []load.Target) load.Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, last := t.now(), t.began
	t.await(ctx, func() bool { return t.servedAfter(last, targets) })
	return load.Report{At: at, Asked: maps.Clone(t.asked)}
}

// await is called with mu held, and gives it up while it waits.
func (t *tally) await(ctx context.Context, met func() bool) {
	for !met() && ctx.Err() == nil {
		t.changed.Wait()
	}
}

// allEnded says that no request up to the last one is under way.
func (t *tally) allEnded(last int) bool {
	for r := range t.underway {
		if r.number <= last {
			return false
		}
	}
	return true
}

// servedAfter says that every target answers requests after the last one. A streak from before starts again, so that an answer that was
// under way says nothing of now.
func (t *tally) servedAfter(last int, targets []load.Target) bool {
	served := t.allEnded(last)
	for _, target := range targets {
		s := t.streaks[target.Name()]
		if s.answers > 0 && s.from <= last {
			s = streak{}
			t.streaks[target.Name()] = s
		}
		served = served && s.answers >= load.Settled
	}
	return served
}

// share is the smallest value that is at least as large as that share of all, in tenths; all is sorted and not empty.
func share(all []float64, of float64) float64 {
	return math.Round(10*all[max(0, int(math.Ceil(of*float64(len(all))))-1)]) / 10
}
