package iptables

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Originals keeps which tables were not there before us.
type Originals interface {
	Get(name string) (value string, ok bool)
	Set(name, value string) error
	Delete(name string) error
}

// Tables writes the chains of a namespace.
type Tables struct {
	Run       *program.Runner
	Originals Originals
}

// Apply does ops on chains of one namespace in one run of iptables-restore.
func (t *Tables) Apply(ctx context.Context, space *netns.Space, ops []state.Op) error {
	now, err := Save(ctx, t.Run, space)
	if err != nil {
		return err
	}
	input := render(ops, now)
	if input == "" {
		return nil
	}
	t.noteTables(ops, now)
	if err := space.Do(func() error { return Restore(ctx, t.Run, input) }); err != nil {
		return err
	}
	return t.dropEmptyTables(ctx, space, ops)
}

// Restore loads rules in the namespace of the calling thread.
func Restore(ctx context.Context, run *program.Runner, input string) error {
	_, err := run.Run(ctx, input, "iptables-restore", "--noflush", "-w", "10")
	return err
}

// iptables-nft makes a table with all its built-in chains when the first rule
// goes in, and never takes it away. A host that had no such table shall have none
// after us, so what was absent is kept with the originals, and an empty table
// that came with us goes with us.

func tableKey(name string) string { return "iptables table " + name }

// noteTables keeps which tables are not there yet, before ops make them. That it
// cannot be kept (a full disk) is no reason to leave a host without its chains: at
// worst an empty table stays when the mesh leaves.
func (t *Tables) noteTables(ops []state.Op, now Ruleset) {
	for _, op := range ops {
		c, ok := op.New.(state.Chain)
		if !ok || c.NS != state.Host || now[c.Table] != nil {
			continue
		}
		_ = t.Originals.Set(tableKey(c.Table), "absent")
	}
}

// dropEmptyTables takes away what noteTables saw come and removals left empty.
func (t *Tables) dropEmptyTables(ctx context.Context, host *netns.Space, ops []state.Op) error {
	came := map[string]bool{}
	for _, op := range ops {
		c, ok := op.Old.(state.Chain)
		if !ok || op.Action != state.Remove || c.NS != state.Host {
			continue
		}
		if _, ok := t.Originals.Get(tableKey(c.Table)); ok {
			came[c.Table] = true
		}
	}
	if len(came) == 0 {
		return nil
	}
	now, err := Save(ctx, t.Run, host)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(came)) {
		if !now[name].untouched() {
			continue // others use it by now, or another chain of ours is still there
		}
		if err := dropTable(host.NS, name, slices.Sorted(maps.Keys(now[name]))); err != nil {
			return fmt.Errorf("delete the empty table %s: %w", name, err)
		}
		if err := t.Originals.Delete(tableKey(name)); err != nil {
			return err
		}
	}
	return nil
}

// untouched says that a table holds what iptables-nft makes by itself and no more.
func (t table) untouched() bool {
	for _, c := range t {
		if c.policy != "ACCEPT" || len(c.rules) > 0 {
			return false
		}
	}
	return true
}
