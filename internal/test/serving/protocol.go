// Package serving proves, on the lab, that a mesh serves without dropping a request while everything about it changes: a load
// (internal/test/serving/load) asks all the time, and a table says for each change how many requests there were and how many of them failed
// (TestAccLabServing and the other lab tests here, make testacc).
package serving

import (
	"math"
	"slices"
)

// What the load and the one who started it say to each other: a word per line on its input, each answered by a line of JSON on its
// output, in order. Times are seconds since the load's start by its monotonic clock.
const (
	// WordMark asks for a Report of every request that began since the last one, once all of those have ended.
	WordMark = "mark"
	// WordTo, with addresses as in "to 192.168.200.10:8080 192.168.200.11:8080", changes what is asked. It is answered once no connection
	// to another address is left.
	WordTo = "to"
	// WordThink, with a duration as in "think 4s", changes the average pause of each client between two requests.
	WordThink = "think"
)

// Report is a line of the load's output.
type Report struct {
	Word string  `json:"word"`
	At   float64 `json:"at"` // when the word came
	// Error is set when the word was not understood.
	Error string `json:"error,omitempty"`
	// New and Keep are the clients with a new connection for each request, and those that keep theirs for many.
	New  Kind `json:"new"`
	Keep Kind `json:"keep"`
	// Servers counts the answers by the name that the server gave.
	Servers  map[string]int `json:"servers,omitempty"`
	Failures []Failure      `json:"failures,omitempty"`
}

// Kind sums up the requests of one kind of client.
type Kind struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Connections that were made, whether or not they were answered.
	Connections int `json:"connections"`
	// P50 and P99 are of the answers, in milliseconds, the connect of a new connection included; 0 without any.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Failure is a request that was not answered as it had to be: not connected, reset, late, cut short, or another's answer.
type Failure struct {
	At     float64 `json:"at"` // when it began
	Took   float64 `json:"took"`
	Keep   bool    `json:"keep,omitempty"`
	Target string  `json:"target"`
	Error  string  `json:"error"`
}

// Requests of both kinds.
func (r Report) Requests() int { return r.New.Requests + r.Keep.Requests }

// Failed are those of both kinds that failed.
func (r Report) Failed() int { return r.New.Failed + r.Keep.Failed }

// Failing is for how long requests on new connections began that failed, from the first of them to the last, in seconds; 0 when none did.
// A kept connection that was lost says nothing of that: its client finds out whenever it asks again.
func (r Report) Failing() float64 {
	first, last := math.Inf(1), math.Inf(-1)
	for _, f := range r.Failures {
		if !f.Keep {
			first, last = min(first, f.At), max(last, f.At)
		}
	}
	return max(0, last-first)
}

// Plus is the report of two in a row: counts and failures add up, of the latencies the worse ones stay.
func (r Report) Plus(o Report) Report {
	sum := Report{Word: o.Word, At: o.At, New: r.New.plus(o.New), Keep: r.Keep.plus(o.Keep), Servers: map[string]int{}}
	for _, servers := range []map[string]int{r.Servers, o.Servers} {
		for name, n := range servers {
			sum.Servers[name] += n
		}
	}
	sum.Failures = slices.Concat(r.Failures, o.Failures)
	return sum
}

func (k Kind) plus(o Kind) Kind {
	return Kind{k.Requests + o.Requests, k.Failed + o.Failed, k.Connections + o.Connections, max(k.P50, o.P50), max(k.P99, o.P99)}
}
