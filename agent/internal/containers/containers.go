// Package containers fills the slots of this node: it knows which containers run (package
// engine), gives each slot one that fits, and tells and hears which slots are filled
// (package presence). What it decides is part of the conditions under which the record is
// compiled; the link to a container is an object of the kernel like any other.
package containers

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/presence"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Engines is what engine.Engines knows of the host's containers.
type Engines interface {
	Want(wanted bool)
	Running() []engine.Container
	Ready() bool
	Faults() []engine.Fault
	Present() []string
	Changed() <-chan struct{}
	Run(ctx context.Context)
}

// Presence is what presence.Presence tells and hears.
type Presence interface {
	Keep(r presence.Roll)
	// Fill says which slots of this node are filled. Until its first call nothing is told.
	Fill(filled map[netip.Addr]bool)
	Absent() map[netip.Addr]bool
	Empty() map[netip.Addr]bool
	Heard() map[string]presence.Heard
	Changed() <-chan struct{}
	Run(ctx context.Context)
}

// Kernel says which containers have links to the mesh.
type Kernel interface {
	Attached() (map[netip.Addr]state.Process, error)
}

// Options are what a Keeper works with.
type Options struct {
	Engines  Engines
	Presence Presence
	Kernel   Kernel
	Log      *slog.Logger
	Now      func() time.Time // nil is time.Now
}

// Keeper fills the slots of the node.
type Keeper struct {
	Options
	changed chan struct{}

	mu   sync.Mutex
	rec  *mesh.Record
	node string
	// places are the slots of this node, in the order in which they are filled.
	places []place
	filled map[netip.Addr]tenant
	// leaving are the containers whose slots the record does not have any more.
	leaving map[netip.Addr]leaving
	// since is when each endpoint was found without a container.
	since map[endpointKey]time.Time
	ready bool // the engines have been asked since there are slots
}

// place is a slot of this node.
type place struct {
	endpointKey
	address netip.Addr
	fits    *mesh.Container
}

type endpointKey struct{ service, endpoint string }

// tenant is the container in a slot. Only its process is known until the engines have been asked.
type tenant struct {
	engine, id, name string
	process          state.Process
}

// leaving is a container whose connections drain until a moment, and the networks that it was in.
type leaving struct {
	tenant
	networks mesh.NetworkSet
	until    time.Time
}

// New returns a Keeper that has no record yet.
func New(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{Options: o, changed: make(chan struct{}, 1), filled: map[netip.Addr]tenant{}, leaving: map[netip.Addr]leaving{}, since: map[endpointKey]time.Time{}}
}

// Keep says from which record, and as which node, slots are to be filled; nil and "" for none.
func (k *Keeper) Keep(rec *mesh.Record, node string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if rec == k.rec && node == k.node {
		return
	}
	k.leave(rec, node)
	k.rec, k.node, k.places = rec, node, placesOf(rec, node)
	k.Engines.Want(len(k.places)+len(k.leaving) > 0)
	k.Presence.Keep(rollOf(rec, node))
	k.fill()
}

// leave has the containers of slots that the next record does not have keep their links for as
// long as connections may drain. Other nodes drain theirs by themselves.
func (k *Keeper) leave(next *mesh.Record, node string) {
	if node != k.node || next == nil || next.Nodes[node] == nil {
		clear(k.leaving)
		return
	}
	stays := map[netip.Addr]bool{}
	for _, p := range placesOf(next, node) {
		stays[p.address] = true
		delete(k.leaving, p.address)
	}
	for _, p := range k.places {
		t, filled := k.filled[p.address]
		service := k.rec.Services[p.service]
		if drain := service.Drain(); filled && !stays[p.address] && drain > 0 {
			k.leaving[p.address] = leaving{t, service.NetworkSet(), k.Now().Add(drain)}
			time.AfterFunc(drain, k.expire)
		}
	}
}

// forget ends what leaves once its time is over, or it has ended by itself.
func (k *Keeper) forget() {
	if len(k.leaving) == 0 {
		return
	}
	runs := map[state.Process]bool{}
	for _, c := range k.Engines.Running() {
		runs[state.Process{PID: c.Process.PID, Start: c.Process.Start}] = true
	}
	for address, l := range k.leaving {
		if !k.Now().Before(l.until) || k.Engines.Ready() && !runs[l.process] {
			delete(k.leaving, address)
		}
	}
	k.Engines.Want(len(k.places)+len(k.leaving) > 0)
}

// Containers are the processes of the containers in this node's slots, by address, those
// among them that have lost their slot and may still have connections.
func (k *Keeper) Containers() map[netip.Addr]state.Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[netip.Addr]state.Process, len(k.filled)+len(k.leaving))
	for address, l := range k.leaving {
		all[address] = l.process
	}
	for address, t := range k.filled {
		all[address] = t.process
	}
	return all
}

// Leaving are the slots of this node that were taken out of the record and whose containers
// may still have connections, with the networks that they were in. It is nil in a cluster
// without networks.
func (k *Keeper) Leaving() map[netip.Addr]mesh.NetworkSet {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rec == nil || !k.rec.HasNetworks() || len(k.leaving) == 0 {
		return nil
	}
	all := make(map[netip.Addr]mesh.NetworkSet, len(k.leaving))
	for address, l := range k.leaving {
		all[address] = l.networks
	}
	return all
}

// Absent are the slots of all nodes that are empty (true), or whose node is silent (false).
func (k *Keeper) Absent() map[netip.Addr]bool {
	absent, empty := k.Presence.Absent(), k.Presence.Empty()
	for address := range absent {
		absent[address] = empty[address]
	}
	return absent
}

// Changed gets a value when Containers, Leaving or Absent may have changed.
func (k *Keeper) Changed() <-chan struct{} { return k.changed }

// Run follows the engines and the other nodes until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { k.Engines.Run(ctx) })
	parts.Go(func() { k.Presence.Run(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.Engines.Changed():
			k.mu.Lock()
			k.forget()
			k.fill()
			k.mu.Unlock()
		case <-k.Presence.Changed():
		}
		k.news()
	}
}

// expire is when a drain is over.
func (k *Keeper) expire() {
	k.mu.Lock()
	k.forget()
	k.mu.Unlock()
	k.news()
}

// news tells that Containers, Leaving or Absent may have changed.
func (k *Keeper) news() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// fill gives each slot a container. Until all engines have been asked, a slot keeps the one
// that has a link already: a start of the agent interrupts nobody.
func (k *Keeper) fill() {
	if len(k.places) == 0 {
		k.filled, k.ready = map[netip.Addr]tenant{}, false
		clear(k.since)
		k.Presence.Fill(nil) // the others hear of this node all the same
		return
	}
	was := k.filled
	if k.ready = k.Engines.Ready(); k.ready {
		k.filled = assign(k.places, was, k.Engines.Running())
	} else {
		known := k.attached(was)
		k.filled = assign(k.places, known, k.Engines.Running())
		for address, t := range known {
			if _, placed := k.filled[address]; !placed && t.id == "" {
				k.filled[address] = t
			}
		}
	}
	k.log(was)
	filled := make(map[netip.Addr]bool, len(k.filled))
	for address := range k.filled {
		filled[address] = true
	}
	k.Presence.Fill(filled)
	k.noteEmpty()
}

// attached are the slots that are filled as far as the kernel tells.
func (k *Keeper) attached(was map[netip.Addr]tenant) map[netip.Addr]tenant {
	there, err := k.Kernel.Attached()
	if err != nil {
		k.Log.Warn("cannot tell which containers are attached; asking their engines", "error", err)
	}
	kept := map[netip.Addr]tenant{}
	for _, p := range k.places {
		if t, ok := was[p.address]; ok {
			kept[p.address] = t
		} else if process, ok := there[p.address]; ok {
			kept[p.address] = tenant{process: process}
		}
	}
	return kept
}

func (k *Keeper) log(was map[netip.Addr]tenant) {
	for _, p := range k.places {
		old, is := was[p.address], k.filled[p.address]
		switch {
		case old == is || is.name == "" && is.process.PID != 0 || old.process == is.process && is.process.PID != 0:
		case is.process.PID == 0:
			k.Log.Info(fmt.Sprintf("service %s: endpoint %s: the container %s at %s has ended", p.service, p.endpoint, old.name, p.address))
		default:
			k.Log.Info(fmt.Sprintf("service %s: endpoint %s: %s container %s has the slot %s", p.service, p.endpoint, is.engine, is.name, p.address))
		}
	}
}

// noteEmpty keeps since when no slot of an endpoint has been filled.
func (k *Keeper) noteEmpty() {
	now, empty := k.Now(), map[endpointKey]time.Time{}
	for _, key := range k.endpoints() {
		if k.count(key) > 0 {
			continue
		}
		since, known := k.since[key]
		if !known {
			since = now
		}
		empty[key] = since
	}
	k.since = empty
}

// endpoints are those with slots on this node, in their order.
func (k *Keeper) endpoints() []endpointKey {
	var keys []endpointKey
	for _, p := range k.places {
		if n := len(keys); n == 0 || keys[n-1] != p.endpointKey {
			keys = append(keys, p.endpointKey)
		}
	}
	return keys
}

// count is how many slots of the endpoint are filled.
func (k *Keeper) count(key endpointKey) (n int) {
	for _, p := range k.places {
		if _, ok := k.filled[p.address]; ok && p.endpointKey == key {
			n++
		}
	}
	return n
}

// rollOf is what the agents tell each other about; nothing for a host that is no node.
func rollOf(rec *mesh.Record, node string) presence.Roll {
	if rec == nil || rec.Nodes[node] == nil {
		return presence.Roll{}
	}
	roll := presence.Roll{UID: rec.UID, Self: node, Nodes: make(map[string]presence.Member, len(rec.Nodes))}
	for name, n := range rec.Nodes {
		roll.Nodes[name] = presence.Member{Address: n.PresenceAddress(), Block: n.Block}
	}
	for name := range rec.ReachableServices() {
		for _, e := range rec.Services[name].Endpoints {
			if member, live := roll.Nodes[e.Node]; live && e.Container != nil {
				for slot := range e.SlotAddresses(rec.Nodes[e.Node]) {
					member.Slots = append(member.Slots, slot)
				}
				roll.Nodes[e.Node] = member
			}
		}
	}
	for _, member := range roll.Nodes {
		sortAddresses(member.Slots)
	}
	return roll
}
