package kernel

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Chain is an iptables chain of a namespace with what its rules have counted,
// ours or not.
type Chain struct {
	Table, Name string
	Policy      string // "" where it is not a built-in chain
	Rules       []Rule
}

// Rule is one rule as iptables-save prints it, without "-A CHAIN".
type Rule struct {
	Text           string
	Packets, Bytes uint64
}

// Chains reads all chains of a namespace with the rules' counters; none when the
// namespace is not there.
func (k *Kernel) Chains(ctx context.Context, ns state.NS) ([]Chain, error) {
	var text string
	save := func() (err error) {
		text, err = k.programs.Run(ctx, "", "iptables-save", "-c")
		return err
	}
	enter := k.InHost
	if ns == state.Mesh {
		if there, err := netns.IsMounted(k.namespaceFile()); err != nil || !there {
			return nil, err
		}
		enter = k.InMesh
	}
	if err := enter(save); err != nil {
		return nil, err
	}
	return parseCounted(text)
}

// parseCounted reads what iptables-save -c prints.
func parseCounted(text string) ([]Chain, error) {
	var chains []Chain
	index := map[[2]string]int{}
	table := ""
	for i, line := range strings.Split(text, "\n") {
		bad := fmt.Errorf("iptables-save -c, line %d: %q is not understood", i+1, line)
		switch {
		case line == "" || line[0] == '#' || line == "COMMIT":
		case line[0] == '*':
			table = line[1:]
		case line[0] == ':':
			fields := strings.Fields(line[1:])
			if len(fields) < 2 {
				return nil, bad
			}
			index[[2]string{table, fields[0]}] = len(chains)
			chains = append(chains, Chain{Table: table, Name: fields[0], Policy: strings.TrimPrefix(fields[1], "-")})
		default:
			chain, rule, ok := parseCountedRule(line)
			at, known := index[[2]string{table, chain}]
			if !ok || !known {
				return nil, bad
			}
			chains[at].Rules = append(chains[at].Rules, rule)
		}
	}
	return chains, nil
}

// parseCountedRule reads "[12:720] -A CHAIN RULE".
func parseCountedRule(line string) (chain string, r Rule, ok bool) {
	counters, rest, found := strings.Cut(strings.TrimPrefix(line, "["), "] -A ")
	packets, bytes, both := strings.Cut(counters, ":")
	if !found || !both || line[0] != '[' {
		return "", r, false
	}
	var errPackets, errBytes error
	r.Packets, errPackets = strconv.ParseUint(packets, 10, 64)
	r.Bytes, errBytes = strconv.ParseUint(bytes, 10, 64)
	chain, r.Text, _ = strings.Cut(rest, " ")
	return chain, r, errPackets == nil && errBytes == nil
}

// LinkCounters is what has gone through a link since it was made.
type LinkCounters struct {
	RxPackets, TxPackets, RxBytes, TxBytes uint64
	// Dropped and Errors are of both directions.
	Dropped, Errors uint64
}

// LinkCounters reads those of a link; ok is false when it is not there.
func (k *Kernel) LinkCounters(ns state.NS, name string) (c LinkCounters, ok bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meshKnown = false
	s, err := k.space(ns)
	if err != nil || s == nil {
		return c, false, err
	}
	l, err := s.Link(name)
	if err != nil || l == nil || l.Attrs().Statistics == nil {
		return c, false, err
	}
	st := l.Attrs().Statistics
	return LinkCounters{
		RxPackets: st.RxPackets, TxPackets: st.TxPackets, RxBytes: st.RxBytes, TxBytes: st.TxBytes,
		Dropped: st.RxDropped + st.TxDropped, Errors: st.RxErrors + st.TxErrors,
	}, true, nil
}
