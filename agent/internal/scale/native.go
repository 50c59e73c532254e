package main

import (
	"encoding/json"
	"os"
	"runtime"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// native measures what needs no kernel.
func (b *bench) native() error {
	rec, err := build(b.ports[0], b.endpoints, b.nodes[0])
	if err != nil {
		return err
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	if err := b.figure("record size", float64(len(data))/(1<<20), "MiB", 1, ""); err != nil {
		return err
	}
	if err := b.memory(data); err != nil {
		return err
	}
	next, err := b.change(rec)
	if err != nil {
		return err
	}
	before := compile.Compile(rec, self, version, compile.Conditions{})
	after := compile.Compile(next.Record, self, version, compile.Conditions{})
	if err := b.save(rec); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"record decode", func() error { _, err := mesh.ParseRecord(data); return err }},
		{"record hash", func() error { rec.Hash(); return nil }},
		{"compile", func() error { compile.Compile(rec, self, version, compile.Conditions{}); return nil }},
		{"plan from nothing", func() error { state.Plan(before, state.State{}); return nil }},
		{"plan of one port more among all", func() error { state.Plan(after, before); return nil }},
	} {
		if err := b.time(step.name, "", nil, step.do); err != nil {
			return err
		}
	}
	return b.keepUp(rec, next)
}

// version decides on settings only.
var version = state.KernelVersion{Major: 6, Minor: 1}

// save is durable: with fsync, on the disk that has the folder for temporary files.
func (b *bench) save(rec *mesh.Record) error {
	dir, err := os.MkdirTemp("", "scale")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store := server.NewStore(dir)
	return b.time("record save", "", nil, func() error { return store.Save(server.Stored{Node: self, Record: rec}) })
}

// keepUp is what a port more costs the agent but for the kernel: what to write is
// found from what has changed.
func (b *bench) keepUp(rec *mesh.Record, next mesh.Encoded) error {
	var d compile.Desired
	return b.time("compile and plan of one port more", "",
		func() error { d = compile.Desired{}; d.Follow(rec, self, version, compile.Conditions{}); return nil },
		func() error {
			d.Expect(next.Record, self, next.Origin)
			c := d.Follow(next.Record, self, version, compile.Conditions{})
			state.Plan(c.After, c.Before)
			return nil
		})
}

// memory is what the agent holds of the record and of what it asks for.
func (b *bench) memory(data []byte) error {
	before := heap()
	rec, err := mesh.ParseRecord(data)
	if err != nil {
		return err
	}
	var d compile.Desired
	d.Follow(rec, self, version, compile.Conditions{})
	held := heap() - before
	runtime.KeepAlive(rec)
	runtime.KeepAlive(d)
	return b.figure("heap held by record and desired state", held, "MiB", 1, "")
}
