package iptables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
)

// The two kinds of iptables. A packet passes the tables of both.
const (
	legacyTablesKind = "legacy"
	nfTablesKind     = "nf_tables"
)

// Backends is which kind of iptables this host's programs write, and how many
// rules the tables of both hold.
type Backends struct {
	Used             string // "legacy" or "nf_tables"
	Legacy, NFTables map[string]int
}

// ReadBackends looks at the tables of the calling thread's namespace. It asks
// only for tables that are there, so that it loads no module.
func ReadBackends(ctx context.Context) (b Backends, err error) {
	p := &program.Runner{}
	version, err := p.Run(ctx, "", "iptables-save", "-V")
	if err != nil {
		return b, err
	}
	b.Used = legacyTablesKind // as before 1.8, which says neither
	if strings.Contains(version, nfTablesKind) {
		b.Used = nfTablesKind
	}
	names, err := tablesOfThread()
	if err != nil {
		return b, err
	}
	b.Legacy = map[string]int{}
	for _, name := range names {
		if err := countRules(ctx, p, b.Legacy, "iptables-legacy-save", "-t", name); err != nil {
			return b, err
		}
	}
	b.NFTables = map[string]int{}
	return b, countRules(ctx, p, b.NFTables, "iptables-nft-save")
}

func tablesOfThread() ([]string, error) {
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return legacyTables(ns)
}

// countRules counts by table; a host that lacks the program of one kind has no
// rules of that kind to speak of.
func countRules(ctx context.Context, run *program.Runner, into map[string]int, name string, args ...string) error {
	text, err := run.Run(ctx, "", name, args...)
	if errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	chains, err := Parse(text)
	if err != nil {
		return err
	}
	for table, t := range chains {
		for _, c := range t {
			if len(c.rules) > 0 {
				into[table] += len(c.rules)
			}
		}
	}
	return nil
}

// Mixed says why the mesh cannot work with what the tables hold, "" when it can:
// its rules are of the kind that the programs write, and packets pass the other
// kind as well.
func (b Backends) Mixed() string {
	other, kind, save, program := b.Legacy, legacyTablesKind, "iptables-legacy-save", "iptables-legacy"
	if b.Used == legacyTablesKind {
		other, kind, save, program = b.NFTables, nfTablesKind, "iptables-nft-save", "iptables-nft"
	}
	if len(other) == 0 {
		return ""
	}
	table := slices.Sorted(maps.Keys(other))[0]
	return fmt.Sprintf("The host has iptables rules of the kind %s (%s), but its iptables writes %s%s. A packet passes both, and what one accepts the other may drop. "+
		"Look at them with `%s`; remove them (for each table `%s -t %s -F` and `-X`) or have whoever makes them use `iptables`, "+
		"or make %s the host's own kind (update-alternatives --config iptables).",
		kind, tableCounts(other), b.Used, b.own(), save, program, table, kind)
}

func (b Backends) own() string {
	own := b.NFTables
	if b.Used == legacyTablesKind {
		own = b.Legacy
	}
	if len(own) == 0 {
		return ""
	}
	return " (" + tableCounts(own) + ")"
}

func tableCounts(tables map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		parts = append(parts, fmt.Sprintf("%s: %d", name, tables[name]))
	}
	return strings.Join(parts, ", ")
}
