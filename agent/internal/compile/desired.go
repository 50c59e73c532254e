package compile

import (
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Desired is what one node's kernel should hold: what Compile returns, kept up with
// the record and the conditions at the cost of what changes in them. The zero value
// is that of no record.
type Desired struct {
	// State is what Compile returns. Follow changes it in place, or puts another
	// one into its place; nobody else changes it.
	State state.State

	rec     *mesh.Record
	node    string
	version state.KernelVersion
	now     Conditions
	askers  map[state.Key]int // how many ports ask for what is shared
	ahead   ahead
}

// ahead is what ChangedPorts says of a record that was asked about and may follow.
type ahead struct {
	rec   *mesh.Record
	node  string
	ports []mesh.PortKey
	known bool
}

// ChangedPorts is the function of this name, for the record that is followed and
// one that may be next. The Follow of that one does not compare them again.
func (d *Desired) ChangedPorts(next *mesh.Record, node string) (ports []mesh.PortKey, known bool) {
	if a := &d.ahead; a.rec != next || a.node != node {
		*a = ahead{rec: next, node: node}
		a.ports, a.known = ChangedPorts(d.rec, next, node)
	}
	return slices.Clip(d.ahead.ports), d.ahead.known
}

// Change is what a Follow has changed.
type Change struct {
	// Whole says that everything was compiled anew. Before and After are then all
	// of it, else what the published ports that may have changed ask for, both
	// complete: all that there is of a service that is in one of them is in them.
	Whole         bool
	Before, After state.State
}

// Follow makes the state that of the record and the conditions, neither of which
// may be changed from then on: the next Follow looks for what differs from them.
func (d *Desired) Follow(rec *mesh.Record, node string, v state.KernelVersion, now Conditions) Change {
	ports, known := d.changed(rec, node, v, now)
	if !known {
		before := d.State
		d.make(rec, node, v, now)
		return Change{Whole: true, Before: before, After: d.State}
	}
	c := Change{Before: state.State{}, After: state.State{}}
	touched := map[state.Key]bool{}
	before := partOf(d.rec, node, ports, d.now, func(o state.Object) { touched[o.Key()] = true })
	after := partOf(rec, node, ports, now, func(o state.Object) { touched[o.Key()] = true })
	for key := range touched {
		if o, ok := d.State[key]; ok {
			c.Before[key] = o
		}
	}
	for _, o := range before {
		d.drop(o)
	}
	for _, o := range after {
		d.put(o)
	}
	for key := range touched {
		if o, ok := d.State[key]; ok {
			c.After[key] = o
		}
	}
	d.rec, d.now, d.ahead = rec, now, ahead{}
	return c
}

// Ports returns what the named published ports ask of the node, as Compile has it:
// a part of its result. Those that the record does not have ask for nothing.
func Ports(rec *mesh.Record, node string, ports []mesh.PortKey, now Conditions) state.State {
	s := state.State{}
	partOf(rec, node, ports, now, func(o state.Object) { s.Put(o) })
	return s
}

// partOf lists what the ports ask for, and shows each to see.
func partOf(rec *mesh.Record, node string, ports []mesh.PortKey, now Conditions, see func(state.Object)) (objects []state.Object) {
	if rec == nil || rec.Nodes[node] == nil {
		return nil
	}
	for _, key := range ports {
		if p := rec.Ports[key]; p != nil {
			portObjects(func(o state.Object) { see(o); objects = append(objects, o) }, rec, rec.Nodes[node], p, now)
		}
	}
	return objects
}

// make compiles everything.
func (d *Desired) make(rec *mesh.Record, node string, v state.KernelVersion, now Conditions) {
	*d = Desired{rec: rec, node: node, version: v, now: now, askers: map[state.Key]int{}}
	if rec == nil || rec.Nodes[node] == nil {
		d.State = state.State{}
		return
	}
	self := rec.Nodes[node]
	d.State = make(state.State, objects(rec))
	frame(d.State, rec, self, v)
	for _, p := range rec.Ports {
		portObjects(d.put, rec, self, p, now)
	}
}

// objects is about how many there will be: a map that grows costs as much again.
func objects(rec *mesh.Record) int {
	const ofFrame, ofNode, ofPort = 64, 4, 2
	n := ofFrame + ofNode*len(rec.Nodes) + ofPort*len(rec.Ports)
	for _, p := range rec.Ports {
		n += len(rec.Services[p.Service].Endpoints)
	}
	return n
}

func (d *Desired) put(o state.Object) {
	key := o.Key()
	d.State[key] = o
	if shared(key) {
		d.askers[key]++
	}
}

// drop takes away what one port has asked for, unless another one still does.
func (d *Desired) drop(o state.Object) {
	key := o.Key()
	if shared(key) {
		if d.askers[key]--; d.askers[key] > 0 {
			return
		}
		delete(d.askers, key)
	}
	delete(d.State, key)
}

// Touched are the objects before and after, those after where there are both.
func (c *Change) Touched() state.State {
	all := maps.Clone(c.Before)
	maps.Copy(all, c.After)
	return all
}
