// Package load is the lab's load generator as the tests and the bench use it: they start its program (internal/test/load/generator) on a
// host of the lab, talk to it, and judge what became of the requests. The program has two kinds of load, because one cannot do what the
// other is for:
//
//   - clients (closed loop): each waits for its answer and then thinks. They are many, keep connections or not, and use the same few source
//     ports again and again, as real clients do. Package serving counts which of their requests fail.
//   - probes (open loop): a request to each target at a fixed interval, whatever became of the one before. They measure how long nobody was
//     served, which clients that wait for an answer cannot: they would ask least while it matters most. Packages faults and bench/swarm
//     measure outages so.
//
// The load at which a path is full (bench/datapath) is wrk's, and what a person would type (demo) is curl's: both are kept, as a result of
// theirs can be compared with anybody's.
package load

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A line of the program's input is a number and a word, "3 mark"; each is answered by a line of its output with the same number. Times are
// seconds since the program's start by its monotonic clock, so that neither a jump of a clock nor the way to the program counts.
const (
	// WordMark asks for a Report of every request that began since the last mark, once all of those have ended.
	WordMark = "mark"
	// WordServed asks for a Report once every target of the probes has answered Settled requests in a row that were made after the word.
	WordServed = "served"
	// WordTo, with addresses as in "to 192.168.200.10:8080 192.168.200.11:8080", changes what the clients ask. It is answered once no
	// connection to another address is left.
	WordTo = "to"
	// WordThink, with a duration as in "think 4s", changes the average pause of each client between two requests.
	WordThink = "think"
)

const (
	// Settled is how many answers in a row make a target one that serves.
	Settled = 3
	// Patience is how long a probe waits for its answer. An emulated machine stands still for a second or two at times, and nothing is
	// lost by that. Tcp sends a lost packet again after 1 s and after 3 s, so that it outlives a short gap, as a person's request would; udp
	// does not, and tells how long the gap was.
	Patience = 4 * time.Second
)

// Line is a line of the program's output: one of the two is set.
type Line struct {
	Answer  *Report  `json:"answer,omitempty"`
	Request *Request `json:"request,omitempty"` // of a probe that has ended
}

// parseLine reads a line. One that is neither is not the program's: a login may print a banner.
func parseLine(line []byte) (l Line, is bool) {
	err := json.Unmarshal(line, &l)
	return l, err == nil && (l.Answer == nil) != (l.Request == nil)
}

// Report answers a word.
type Report struct {
	Number int     `json:"number"`
	Word   string  `json:"word"`
	At     float64 `json:"at"` // when the word came
	// Error is set when the word was not understood.
	Error string `json:"error,omitempty"`
	// New and Keep are the requests with a connection of their own, as all of the probes are, and those of clients that keep theirs for many.
	New  Kind `json:"new"`
	Keep Kind `json:"keep"`
	// Servers counts the answers by the name that the server gave.
	Servers map[string]int `json:"servers,omitempty"`
	// Failures are the requests of clients that failed. Those of probes come as lines of their own, when they fail.
	Failures []Request `json:"failures,omitempty"`
	// Asked is how many requests have been made of each target since the start.
	Asked map[string]int `json:"asked,omitempty"`
}

// Kind sums up the requests of one kind.
type Kind struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Connections that were made, whether or not they were answered.
	Connections int `json:"connections"`
	// P50 and P99 are of the answers, in milliseconds, the connect of a new connection included; 0 without any.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Request is one that has ended.
type Request struct {
	Target string  `json:"target"`
	At     float64 `json:"at"` // when it began
	Took   float64 `json:"took"`
	Keep   bool    `json:"keep,omitempty"`
	// Error says why it was not answered as it had to be: not connected, reset, late, cut short, or another's answer. "" means it was.
	Error string `json:"error,omitempty"`
}

// Failed says that the request was not answered as it had to be.
func (r Request) Failed() bool { return r.Error != "" }

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

// Plus is the report of two marks in a row: counts and failures add up, of the latencies the worse ones stay.
func (r Report) Plus(o Report) Report {
	sum := Report{Word: o.Word, At: o.At, New: r.New.plus(o.New), Keep: r.Keep.plus(o.Keep), Servers: map[string]int{}, Asked: o.Asked}
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

// Networks that a Target has.
const (
	TCP  = "tcp"  // any bytes are an answer
	UDP  = "udp"  // any packet is an answer
	HTTP = "http" // a whole page with status 200 is an answer
)

// Target is what a probe asks, each time over a new connection.
type Target struct {
	Network string
	Address netip.AddrPort
	Every   time.Duration
}

// Name is how requests name the target.
func (t Target) Name() string { return t.Network + "/" + t.Address.String() }

// String is what ParseTarget reads.
func (t Target) String() string { return t.Name() + "/" + t.Every.String() }

// ParseTarget reads NETWORK/ADDRESS:PORT/EVERY, as in tcp/192.168.200.10:8080/50ms.
func ParseTarget(s string) (Target, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || !slices.Contains([]string{TCP, UDP, HTTP}, parts[0]) {
		return Target{}, fmt.Errorf("the target %q is not of the form tcp/192.168.200.10:8080/50ms, or udp or http", s)
	}
	address, err := netip.ParseAddrPort(parts[1])
	if err != nil {
		return Target{}, fmt.Errorf("the target %q: %w", s, err)
	}
	every, err := time.ParseDuration(parts[2])
	if err != nil || every <= 0 {
		return Target{}, fmt.Errorf("the target %q: %q is not a valid time between two requests", s, parts[2])
	}
	return Target{parts[0], address, every}, nil
}

// Command is what a shell on a host runs for probes of the targets: program is the generator's path there. With all, every request is a
// line of its output, else those that failed.
func Command(program string, all bool, targets ...Target) string {
	words := []string{program, "probe"}
	if all {
		words = append(words, "-all")
	}
	for _, t := range targets {
		words = append(words, t.String())
	}
	return strings.Join(words, " ")
}
