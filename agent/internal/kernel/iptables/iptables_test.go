package iptables

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (write it with -update):\n%s", name, diff)
	}
}

func init() { flag.Bool("update", false, "write the golden files") }

func saved(t *testing.T, name string) Ruleset {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestChainsThatAreOursAreFoundAmongOthers(t *testing.T) {
	for name, ns := range map[string]state.NS{"host": state.Host, "mesh": state.Mesh} {
		into := state.State{}
		saved(t, "save-"+name+".txt").Observe(into, ns)
		var chains []string
		for _, o := range into {
			c := o.(state.Chain)
			chains = append(chains, fmt.Sprintf("%s\n  hooks %q match %q\n  %s\n", c, c.Hooks, c.JumpMatch, strings.ReplaceAll(c.Rules, "\n", "\n  ")))
		}
		slices.Sort(chains)
		golden(t, "observed-"+name+".txt", strings.Join(chains, ""))
	}
}

func TestRestoreInput(t *testing.T) {
	chain := func(table, name, hooks, match, rules string) state.Chain {
		return state.Chain{Table: table, Name: name, Hooks: hooks, JumpMatch: match, Rules: rules}
	}
	mesh := func(table, name, rules string) state.Chain {
		return state.Chain{NS: state.Mesh, Table: table, Name: name, Rules: rules}
	}
	put := func(c state.Chain) state.Op { return state.Op{Action: state.Add, New: c} }
	remove := func(c state.Chain) state.Op { return state.Op{Action: state.Remove, Old: c} }
	tests := map[string]struct {
		now string
		ops []state.Op
	}{
		"a chain that is not there": {"host", []state.Op{put(chain("nat", "ROUTINGMESH-POST", "POSTROUTING", "", "-j RETURN\n-j ACCEPT"))}},
		"a jump that is there stays": {"host", []state.Op{
			put(chain("nat", "ROUTINGMESH", "PREROUTING,OUTPUT", "-m addrtype --dst-type LOCAL", "-i rmesh0 -j RETURN"))}},
		"a jump that is there twice":     {"host", []state.Op{put(chain("filter", "ROUTINGMESH-IN", "INPUT", "", "-j RETURN"))}},
		"a jump with another match":      {"host", []state.Op{put(chain("filter", "ROUTINGMESH-FWD", "FORWARD", "", "-j RETURN"))}},
		"a chain goes with its jumps":    {"host", []state.Op{remove(chain("filter", "ROUTINGMESH-IN", "INPUT", "", ""))}},
		"a chain that has gone":          {"host", []state.Op{remove(chain("nat", "ROUTINGMESH-OLD", "", "", ""))}},
		"several chains and tables":      {"host", []state.Op{put(chain("filter", "ROUTINGMESH-A", "INPUT", "", "-j RETURN")), put(chain("filter", "ROUTINGMESH-B", "FORWARD", "", "-j DROP")), put(chain("nat", "ROUTINGMESH-C", "OUTPUT", "", "-j RETURN"))}},
		"a built-in chain of the mesh":   {"mesh", []state.Op{put(mesh("nat", "POSTROUTING", "-j RETURN"))}},
		"somebody's chains in the mesh":  {"mesh", []state.Op{remove(mesh("filter", "STRAY", "")), remove(mesh("filter", "FORWARD", ""))}},
		"a table of the mesh never used": {"mesh", []state.Op{put(mesh("raw", "PREROUTING", "-j ACCEPT"))}},
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		test := tests[name]
		fmt.Fprintf(&b, "== %s\n%s", name, render(test.ops, saved(t, "save-"+test.now+".txt")))
	}
	golden(t, "restore.txt", b.String())
}

func TestBrokenSavesAreRefused(t *testing.T) {
	for _, text := range []string{
		":INPUT ACCEPT [0:0]",
		"*nat\n-A NOWHERE -j ACCEPT",
		"*nat\n:A - [0:0]\n:A - [0:0]",
		"*nat\n:A",
		"*nat\nCOMMIT\n-A A -j B",
		"Fatal: something",
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

// Whatever iptables-save says, what is made of it refers only to what it said,
// and reading what we would write back gives what we asked for.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"save-host.txt", "save-mesh.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		rs, err := Parse(text)
		if err != nil {
			return
		}
		for _, name := range rs.Foreign() {
			if !strings.Contains(name, "/"+state.ChainPrefix) {
				t.Errorf("%s is not a name of ours", name)
			}
		}
		for _, t := range rs {
			t.userChainUnused()
		}
		into := state.State{}
		rs.Observe(into, state.Host)
		for _, o := range into {
			if c := o.(state.Chain); !ourChain(c.Name) || rs[c.Table][c.Name] == nil {
				t.Errorf("%v is not ours, or not there", c)
			}
		}
		for _, op := range state.Plan(state.State{}, into) {
			if input := render([]state.Op{op}, rs); !strings.Contains(input, "-X "+op.Old.(state.Chain).Name) {
				t.Errorf("%v is not removed by %q", op, input)
			}
		}
	})
}
