package iptables

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
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

// Counted reads all chains of the calling thread's namespace with the rules' counters.
func Counted(ctx context.Context, run *program.Runner) ([]Chain, error) {
	text, err := run.Run(ctx, "", "iptables-save", "-c")
	if err != nil {
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
