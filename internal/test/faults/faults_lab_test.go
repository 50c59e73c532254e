//go:build lab

package faults

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAccLabFaults is the fault table. One fault of it: -run 'TestAccLabFaults/vx0'.
func TestAccLabFaults(t *testing.T) {
	w := newWorld(t)
	w.begin(t, mixed, "table.txt")
	for _, f := range kernelFaults {
		t.Run(f.name, func(t *testing.T) { w.repairs(t, f, w.targets...) })
	}
	w.asSaved(t)
	t.Run("found by the timer", func(t *testing.T) { w.repairsByTimer(t, interruptingFaults) })
	t.Run("quiet ones found by the timer", func(t *testing.T) {
		untroubled(t, w.during(t, "quiet ones found by the timer", "all", func() (string, []string) { w.repairsByTimer(t, quietFaults); return "", nil }))
	})
	w.asSaved(t)
	w.agentFaults(t)
	w.applyFaults(t)
	w.nodeFaults(t)
	w.reports(t)
}

// begin brings the hosts and the mesh, and starts the probes; the table of the rows goes to the named file at the end. Then the nodes
// must be as they were found.
func (w *world) begin(t *testing.T, h hosts, table string) {
	t.Helper()
	w.equip(t, h)
	w.main = w.terraform(t, "main")
	w.Bare(t, w.main) // of what a run that was cut has left
	before := w.look(t)
	t.Cleanup(func() { // after the table: whoever sees only the end of a log sees what differs
		w.Bare(t, w.main)
		w.asFound(t, before)
	})
	t.Cleanup(func() { w.print(t, table) })
	w.apply(t)
	w.askAlways(t)
}

// print shows the table, and keeps it beside the lab.
func (w *world) print(t *testing.T, file string) {
	t.Helper()
	if len(w.rows) == 0 {
		return
	}
	table := Table(w.rows)
	t.Log("\n" + table)
	ok(t, os.WriteFile(filepath.Join(w.Lab.Dir, "faults", file), []byte(table), 0o644))
}
