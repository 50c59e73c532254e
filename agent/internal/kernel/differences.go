package kernel

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipvs"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// sink takes the objects of kinds that may have thousands, as they are read from the
// kernel.
type sink interface {
	ipvs.Sink
	Member(m state.SetMember)
}

// all keeps them all, ports to be put together to ranges.
type all struct {
	state.State
	ports state.PortSets
}

func (a all) Virtual(v state.VirtualServer)  { a.Put(v) }
func (a all) Destination(r state.RealServer) { a.Put(r) }

func (a all) Member(m state.SetMember) {
	if m.Addr.IsValid() {
		a.Put(m)
	} else {
		a.ports.Add(m)
	}
}

// mismatches counts the objects that are as desired and keeps the others. It allocates
// nothing for those that are as they should be.
type mismatches struct {
	desired state.State
	met     int
	others  state.State
	ports   state.PortSets      // that nothing asks for
	ranges  map[string][]*found // that are desired, by set
}

// found is a range of ports of which so many have been found.
type found struct {
	state.SetMember
	n int
}

func newMismatches(desired state.State) *mismatches {
	s := &mismatches{desired: desired, others: state.State{}, ports: state.PortSets{}, ranges: map[string][]*found{}}
	for _, o := range desired {
		if m, ok := o.(state.SetMember); ok && m.Last != 0 {
			s.ranges[m.Set] = append(s.ranges[m.Set], &found{m, 0})
		}
	}
	return s
}

func (s *mismatches) Virtual(v state.VirtualServer) {
	if want, ok := s.desired[v.Key()].(state.VirtualServer); ok && want == v {
		s.met++
	} else {
		s.others.Put(v)
	}
}

func (s *mismatches) Destination(r state.RealServer) {
	if want, ok := s.desired[r.Key()].(state.RealServer); ok && want == r {
		s.met++
	} else {
		s.others.Put(r)
	}
}

func (s *mismatches) Member(m state.SetMember) {
	want, asked := s.desired[m.Key()].(state.SetMember)
	if asked = asked && want == m; asked {
		s.met++
	}
	for _, r := range s.ranges[m.Set] { // the kernel lists each port once
		if r.HasPort(m.Port) {
			asked = true
			if r.n++; r.n == r.Size() {
				s.met++
			}
		}
	}
	switch {
	case asked:
	case m.Addr.IsValid():
		s.others.Put(m)
	default:
		s.ports.Add(m)
	}
}

// Differences is state.Plan of what is desired and what Observe returns, without
// holding both: a kernel that is as desired, which is the rule, costs a read of it.
// With Traffic, the chains that are desired are passed over.
func (k *Kernel) Differences(ctx context.Context, scope Scope, desired state.State) ([]state.Op, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meshKnown = false
	mesh, err := k.openMesh()
	if err != nil {
		return nil, err
	}
	found := newMismatches(desired)
	if err := k.observe(ctx, scope, mesh, found.others, found); err != nil {
		return nil, err
	}
	found.ports.Put(found.others)
	if wanted, ok := found.wanted(scope); ok {
		return state.Plan(wanted, found.others), nil
	}
	// Something is missing: what, is only seen beside all that is there.
	there, err := k.observeAll(ctx, scope, mesh)
	if err != nil {
		return nil, err
	}
	wanted := desired
	if scope == Traffic {
		wanted = state.State{}
		for key, o := range desired {
			if !handlers[key.Kind].program {
				wanted[key] = o
			}
		}
	}
	return state.Plan(wanted, there), nil
}

// wanted is the part of what is desired that has to be compared with the others,
// for all else is there; ok is false where something is not.
func (s *mismatches) wanted(scope Scope) (wanted state.State, ok bool) {
	wanted = state.State{}
	many := 0
	for key, o := range s.desired {
		switch {
		case InPart(key):
			many++
		case !handlers[key.Kind].program || scope == Full:
			wanted[key] = o
		}
	}
	for key := range s.others {
		if o, asked := s.desired[key]; asked && InPart(key) {
			wanted[key] = o
			many--
		}
	}
	return wanted, s.met == many
}
