package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

// The record is one that an agent takes, and asks for what is said that it does.
func TestTheRecordIsOfTheSizeThatWasAskedFor(t *testing.T) {
	b := bench{options: options{endpoints: 4}}
	rec, err := build(20, b.endpoints, 600)
	if err != nil {
		t.Fatal(err)
	}
	made, err := b.change(rec)
	if err != nil {
		t.Fatal(err)
	}
	next := made.Record
	if len(rec.Ports) != 20 || len(next.Ports) != 21 || len(rec.Nodes) != 600 || next.Generation != rec.Generation+1 {
		t.Errorf("%d and %d ports, %d nodes, generation %d", len(rec.Ports), len(next.Ports), len(rec.Nodes), next.Generation)
	}
	before, after := compile.Compile(rec, self, version, compile.Conditions{}), compile.Compile(next, self, version, compile.Conditions{})
	if ops := state.Plan(after, before); len(ops) != 3+b.endpoints { // service, its own endpoint's port, member
		t.Errorf("one port more is %v", ops)
	}
	if _, err := build(1, 11, 10); err == nil {
		t.Error("11 endpoints on 10 nodes")
	}
}

func TestNativeFiguresAreWhole(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-ports", "5", "-nodes", "3", "-endpoints", "2", "-runs", "1"}, &out); err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(out.String()) {
		var f figure.Figure
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		if f.Part != "agent" || f.Unit == "" || f.Case["ports"] != "5" || f.Case["nodes"] != "3" || f.Case["endpoints"] != "2" {
			t.Errorf("%+v", f)
		}
		names = append(names, f.Name)
	}
	if want := []string{
		"record size", "heap held by record and desired state", "record save", "record decode", "record hash", "compile",
		"plan from nothing", "plan of one port more among all", "compile and plan of one port more",
	}; !slices.Equal(names, want) {
		t.Errorf("figures %q, want %q", names, want)
	}
}

func TestFlagsThatAreWrongAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-ports", "0"}, {"-ports", "1,"}, {"-nodes", "x"}, {"-runs", "0"}, {"-endpoints", "0"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestMemoryOfStatus(t *testing.T) {
	mib, err := statusMiB([]byte("Name:\tscale\nVmHWM:\t  204800 kB\nVmRSS:\t   20480 kB\n"), "VmRSS")
	if err != nil || mib != 20 {
		t.Errorf("%v MiB, %v", mib, err)
	}
	for _, text := range []string{"", "VmRSS: x kB\n"} {
		if _, err := statusMiB([]byte(text), "VmRSS"); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestRulesAreCounted(t *testing.T) {
	save := "*nat\n:ROUTINGMESH - [0:0]\n-A PREROUTING -j ROUTINGMESH\n-A ROUTINGMESH -i rmesh0 -j RETURN\n-A DOCKER -j RETURN\nCOMMIT\n"
	if host, mesh := rulesIn(save, "ROUTINGMESH"), rulesIn(save, ""); host != 2 || mesh != 3 {
		t.Errorf("%d and %d rules", host, mesh)
	}
}
