package kernel

import (
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Watch sees that something of ours may have changed in the kernel, see package watch.
type Watch struct{ *watch.Watch }

// NewWatch starts to watch. The caller runs Run, and gives it back by Close.
func (k *Kernel) NewWatch() (*Watch, error) {
	w, err := watch.New(watch.Options{
		Host:          k.host,
		File:          k.namespaceFile(),
		HostLinks:     []string{state.HostLink},
		MeshLinks:     []string{state.OverlayLink, state.MeshLink},
		HostInterests: k.interests(state.Host),
		MeshInterests: k.interests(state.Mesh),
	})
	if err != nil {
		return nil, err
	}
	return &Watch{w}, nil
}

// interests are those of all kinds in a namespace.
func (k *Kernel) interests(ns state.NS) (interests []watch.Interest) {
	for i := range handlers {
		if of := handlers[i].interest; of != nil {
			if interest, ok := of(k, ns); ok {
				interests = append(interests, interest)
			}
		}
	}
	return interests
}

// Cover says that an observation of the scope begins: it sees all that has happened until
// now, our own writes included.
func (w *Watch) Cover(scope Scope) { w.Watch.Cover(scope == Full) }

// Own says that since Untouched was true these ops were done, on IPVS and members of sets,
// and returns whether the canary says that it was these only.
func (w *Watch) Own(ops []state.Op) bool {
	return w.Watch.Own(func(r *watch.Reading) { countWrites(r, ops) })
}

// countWrites counts in a reading what these ops have added and removed.
func countWrites(r *watch.Reading, ops []state.Op) {
	for _, op := range ops {
		h := handlerOf(op)
		if h.counted == nil || op.Action == state.Change {
			continue
		}
		switch n := h.counted(r, op.Object()); {
		case n == nil:
		case op.Action == state.Remove:
			*n -= elements(op.Object())
		default:
			*n += elements(op.Object())
		}
	}
}

// elements is as how many the canary counts an object.
func elements(o state.Object) uint32 {
	if m, ok := o.(state.SetMember); ok {
		return uint32(m.Size())
	}
	return 1
}

// note keeps what an observation has found and an event is compared with.
func (k *Kernel) note(s state.State) {
	routes := map[netip.Prefix]bool{}
	for _, o := range s {
		if r, ok := o.(state.Route); ok && r.NS == state.Host && r.Table == state.MainTable {
			routes[r.Dst] = true
		}
	}
	k.mainRoutes.Store(&routes)
}
