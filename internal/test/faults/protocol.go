// Package faults breaks a real mesh in the lab, one thing after another, while a steady client asks it all the time, and writes down for
// each fault how long nobody was served, how many requests failed, and what terraform plan said (TestAccLabFaults, make testacc).
package faults

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// What the steady client (internal/test/faults/steady) and the one who started it say to each other: lines of JSON on its output, words on its
// input. Times are seconds since the client's start by its monotonic clock, so that neither a jump of a clock nor the way to it counts.
const (
	// WordMark asks for a Report once every request that was under way has ended.
	WordMark = "mark"
	// WordServed asks for a Report once every target has answered Settled requests in a row that were made after the word.
	WordServed = "served"
	// Settled is how many answers in a row make a target one that serves.
	Settled = 3
	// Patience is how long the client waits for an answer. An emulated machine stands still for a second or two at times, and nothing is
	// lost by that. Tcp sends a lost packet again after 1 s and after 3 s, so that it outlives a short gap, as a person's request would; udp
	// does not, and tells how long the gap was.
	Patience = 4 * time.Second
)

// Report is a line of the steady client's output: a request that failed, or the answer to a word.
type Report struct {
	Word   string  `json:"word,omitempty"`   // the word that is answered; "" with a failed request
	Target string  `json:"target,omitempty"` // of the request that failed
	Error  string  `json:"error,omitempty"`
	At     float64 `json:"at"` // when the request began, or the word came
	// Asked is how many requests have been made of each target so far, set with Word.
	Asked map[string]int `json:"asked,omitempty"`
}

// Target is what the steady client asks, each time over a new connection.
type Target struct {
	Network string // tcp or udp
	Address netip.AddrPort
	Every   time.Duration
}

// Name is how reports name the target.
func (t Target) Name() string { return t.Network + "/" + t.Address.String() }

// String is what ParseTarget reads.
func (t Target) String() string { return t.Name() + "/" + t.Every.String() }

// ParseTarget reads NETWORK/ADDRESS:PORT/EVERY, as in tcp/192.168.200.10:8080/50ms.
func ParseTarget(s string) (Target, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || (parts[0] != "tcp" && parts[0] != "udp") {
		return Target{}, fmt.Errorf("the target %q is not of the form tcp/192.168.200.10:8080/50ms", s)
	}
	address, err := netip.ParseAddrPort(parts[1])
	if err != nil {
		return Target{}, fmt.Errorf("the target %q: %w", s, err)
	}
	every, err := time.ParseDuration(parts[2])
	if err != nil || every <= 0 {
		return Target{}, fmt.Errorf("the target %q: %q is no time between two requests", s, parts[2])
	}
	return Target{parts[0], address, every}, nil
}
