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
	units   map[Frontend][]state.Object // what each unit asks for
	askers  map[state.Key]int           // how many units ask for what is shared
	ranges  bool                        // the record has some
	members map[string]bool             // networks of the node, see memberNetworks
	ahead   ahead
}

// ahead is what ChangedPorts says of a record that was asked about, or is expected, and
// may follow.
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

// Expect says that next may be the record to follow, and of what it was made: then nothing
// has to be compared but what that change has in it.
func (d *Desired) Expect(next *mesh.Record, node string, origin *mesh.Origin) {
	if origin == nil || origin.Base != d.rec {
		return
	}
	d.ahead = ahead{rec: next, node: node}
	d.ahead.ports, d.ahead.known = portsOf(origin.Change, d.rec, next, node)
}

// Change is what a Follow has changed.
type Change struct {
	// Whole says that everything was compiled again. Before and After are then all
	// of it, else what the units that may have changed ask for, both
	// complete: all that there is of a service that is in one of them is in them.
	Whole         bool
	Before, After state.State
}

// Follow makes the state that of the record and the conditions, neither of which
// may be changed from then on: the next Follow looks for what differs from them.
func (d *Desired) Follow(rec *mesh.Record, node string, v state.KernelVersion, now Conditions) Change {
	units, known := d.changed(rec, node, v, now)
	if !known {
		before := d.State
		d.make(rec, node, v, now)
		return Change{Whole: true, Before: before, After: d.State}
	}
	self, after, touched := rec.Nodes[node], make([][]state.Object, len(units)), map[state.Key]bool{}
	for i, unit := range units {
		unitObjects(func(o state.Object) { after[i] = append(after[i], o) }, rec, self, unit, d.members, now)
		for _, objects := range [][]state.Object{d.units[unit], after[i]} {
			for _, o := range objects {
				touched[o.Key()] = true
			}
		}
	}
	d.overlapping(touched, after)
	c, was := Change{Before: d.only(touched)}, needsOf(d.State, self)
	for _, unit := range units {
		for _, o := range d.units[unit] {
			d.drop(o)
		}
		delete(d.units, unit)
	}
	for i, unit := range units {
		if len(after[i]) > 0 {
			d.units[unit] = after[i]
		}
		for _, o := range after[i] {
			d.put(o)
		}
	}
	if needsOf(d.State, self) != was { // the frame is another one
		before := make(state.State, len(d.State))
		maps.Copy(before, d.State)
		for key := range touched {
			delete(before, key)
		}
		maps.Copy(before, c.Before)
		d.make(rec, node, v, now)
		return Change{Whole: true, Before: before, After: d.State}
	}
	c.After = d.only(touched)
	d.rec, d.now, d.ahead = rec, now, ahead{}
	return c
}

// Port returns what the published port asks of the node now, not to be changed.
func (d *Desired) Port(key mesh.PortKey) []state.Object { return d.units[Published(key)] }

// VIP returns what the service's VIP asks of the node now, not to be changed.
func (d *Desired) VIP(service string) []state.Object { return d.units[Frontend{VIP: service}] }

// only is the part of the state that has these keys.
func (d *Desired) only(keys map[state.Key]bool) state.State {
	part := make(state.State, len(keys))
	for key := range keys {
		if o, ok := d.State[key]; ok {
			part[key] = o
		}
	}
	return part
}

// make compiles everything.
func (d *Desired) make(rec *mesh.Record, node string, v state.KernelVersion, now Conditions) {
	*d = Desired{rec: rec, node: node, version: v, now: now, askers: map[state.Key]int{}, units: map[Frontend][]state.Object{}}
	if rec == nil || rec.Nodes[node] == nil {
		d.State = state.State{}
		return
	}
	self, n := rec.Nodes[node], objects(rec)
	d.ranges = len(rec.Ranges()) > 0
	d.State, d.members = make(state.State, n), memberNetworks(rec, node)
	all := make([]state.Object, 0, n) // of all units, one after the other
	put := func(o state.Object) { all = append(all, o) }
	for unit := range units(rec) {
		begin := len(all)
		unitObjects(put, rec, self, unit, d.members, now)
		d.units[unit] = all[begin:len(all):len(all)]
		for _, o := range d.units[unit] {
			d.put(o)
		}
	}
	frame(d.State, rec, self, v, now)
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

// drop takes away what one unit has asked for, unless another one still does.
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
