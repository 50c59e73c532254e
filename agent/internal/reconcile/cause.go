package reconcile

import (
	"strings"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// plan is what there is to do, and what hangs on what.
type plan struct {
	ops   []state.Op
	byKey func() map[state.Key]state.Op // made when it is needed: there may be 60,000 ops
}

func newPlan(ops []state.Op) plan {
	return plan{ops: ops, byKey: sync.OnceValue(func() map[state.Key]state.Op {
		byKey := make(map[state.Key]state.Op, len(ops))
		for _, op := range ops {
			byKey[op.Object().Key()] = op
		}
		return byKey
	})}
}

func (p plan) has(key state.Key) bool {
	if len(p.ops) == 0 {
		return false
	}
	_, ok := p.byKey()[key]
	return ok
}

func (p plan) only(want wanted) (ops []state.Op) {
	for _, op := range p.ops {
		if want(p, op) {
			ops = append(ops, op)
		}
	}
	return ops
}

// cause follows what is missing to what it is missing because of: the op that
// brings it back too, op itself where that is all there is to it.
func (p plan) cause(op state.Op) state.Op {
	for op.Action == state.Add {
		above, ok := p.byKey()[holder(op.New)]
		if !ok || above.Action != state.Add && !broken(above) {
			return op
		}
		op = above
	}
	return op
}

// broken says that the op mends a link that is there but cannot hold anything
// now, as one that is down has no routes.
func broken(op state.Op) bool {
	switch was := op.Old.(type) {
	case state.Veth:
		return op.New != nil && was.Fault != ""
	case state.VXLAN:
		return op.New != nil && was.Fault != ""
	}
	return false
}

// hangsOn says whether o is in or on one of the objects, at any depth.
func hangsOn(o state.Object, desired state.State, objects map[state.Key]bool) bool {
	for o != nil {
		key := holder(o)
		if objects[key] {
			return true
		}
		o = desired[key]
	}
	return false
}

// holder is the key of what o is in or on, of kind noKind when it is in nothing
// that could be missing.
func holder(o state.Object) state.Key {
	switch o := o.(type) {
	case state.RealServer:
		return state.VirtualServer{Proto: o.Proto, Addr: o.Server}.Key()
	case state.SetMember:
		return state.Set{Name: o.Set}.Key()
	case state.NetNS, state.OwnFile:
		return state.Key{Kind: noKind}
	case state.Veth:
		return state.NetNS{}.Key()
	case state.Neigh:
		ns, link := o.Place()
		return linkHolder(link, ns)
	case state.FDB:
		return state.VXLAN{}.Key()
	case state.Addr:
		return linkHolder(o.Link, o.NS)
	case state.Route:
		return linkHolder(o.Dev, o.NS)
	case state.Sysctl:
		link, _, _ := strings.Cut(strings.TrimPrefix(o.Name, "net.ipv4.conf."), ".")
		return linkHolder(link, o.NS)
	}
	return linkHolder("", o.Key().NS)
}

// linkHolder is what is missing when a link is, or else the namespace.
func linkHolder(link string, ns state.NS) state.Key {
	switch {
	case link == state.OverlayLink:
		return state.VXLAN{}.Key()
	case link == state.HostLink, link == state.MeshLink:
		return state.Veth{}.Key()
	case ns == state.Mesh:
		return state.NetNS{}.Key()
	}
	return state.Key{Kind: noKind}
}

// noKind is no object's: the zero Kind is the namespace's.
const noKind = state.Kind(255)
