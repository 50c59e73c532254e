package main

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/serving"
)

// tally counts requests. A request belongs to the row that was open when it began.
type tally struct {
	start time.Time

	mu   sync.Mutex
	open *row
}

// row is what happens between two marks.
type row struct {
	underway  int
	closed    bool
	ended     chan struct{} // closed once the row is closed and nothing is under way
	report    serving.Report
	latencies map[bool][]float64 // milliseconds, by whether the client keeps its connection
}

func newTally() *tally { return &tally{start: time.Now(), open: newRow()} }

func newRow() *row {
	return &row{ended: make(chan struct{}), latencies: map[bool][]float64{}, report: serving.Report{Servers: map[string]int{}}}
}

func (t *tally) now() float64 { return time.Since(t.start).Seconds() }

// request is one that is under way.
type request struct {
	tally  *tally
	row    *row
	at     float64
	keep   bool
	target string
}

// begin counts a request; connects says that it begins with a new connection.
func (t *tally) begin(keep bool, target string, connects bool) *request {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &request{tally: t, row: t.open, at: t.now(), keep: keep, target: target}
	r.row.underway++
	k := r.row.kind(keep)
	k.Requests++
	if connects {
		k.Connections++
	}
	return r
}

// end says what became of it: the name of the server, or why there is none.
func (r *request) end(server string, err error) {
	t := r.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	took := t.now() - r.at
	if err != nil {
		r.row.kind(r.keep).Failed++
		r.row.report.Failures = append(r.row.report.Failures, serving.Failure{At: r.at, Took: took, Keep: r.keep, Target: r.target, Error: err.Error()})
	} else {
		r.row.report.Servers[server]++
		r.row.latencies[r.keep] = append(r.row.latencies[r.keep], took*1000)
	}
	r.row.underway--
	r.row.settle()
}

func (r *row) kind(keep bool) *serving.Kind {
	if keep {
		return &r.report.Keep
	}
	return &r.report.New
}

func (r *row) settle() {
	if r.closed && r.underway == 0 {
		close(r.ended)
	}
}

// mark begins a new row and returns what there was in the one before, once all of its requests have ended.
func (t *tally) mark() serving.Report {
	t.mu.Lock()
	r := t.open
	t.open = newRow()
	r.report.At = t.now()
	r.closed = true
	r.settle()
	t.mu.Unlock()
	<-r.ended
	for keep, all := range r.latencies {
		slices.Sort(all)
		k := r.kind(keep)
		k.P50, k.P99 = share(all, 0.5), share(all, 0.99)
	}
	return r.report
}

// share is the smallest value that is at least as large as that share of all, in tenths; all is sorted and not empty.
func share(all []float64, of float64) float64 {
	return math.Round(10*all[max(0, int(math.Ceil(of*float64(len(all))))-1)]) / 10
}
