package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipset"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

var setHandler = newHandler((*Kernel).observeSets, (*Kernel).putSet, (*Kernel).removeSet)

// setMemberHandler: a set is listed with its members.
var setMemberHandler = steersIf(newHandler(nil, (*Kernel).putMember, (*Kernel).removeMember).alongWith(state.KindSet).
	ofMany((*Kernel).changeMembers).
	countedBy(func(r *watch.Reading, o state.Object) *uint32 { return r.Members(o.Key().Name) }),
	func(m state.SetMember) bool { return slices.Contains(openUDP, m.Set) || state.IsListenSet(m.Set) })

func (k *Kernel) observeSets(_ context.Context, r *view) error {
	sets := k.sets
	if r.ns == state.Mesh {
		sets = k.meshSets
	}
	return sets.Observe(state.SetPrefix, r.into, r.many.Member)
}

// setsOf has those of a namespace; nil where it is not there.
func (k *Kernel) setsOf(ns state.NS) (*ipset.Conn, error) {
	if ns == state.Host {
		return k.sets, nil
	}
	_, err := k.openMesh()
	return k.meshSets, err
}

// putIn does something with the sets of a namespace that has to be there.
func (k *Kernel) putIn(ns state.NS, do func(*ipset.Conn) error) error {
	sets, err := k.setsOf(ns)
	if err == nil && sets == nil {
		_, err = k.needMesh()
	}
	if err != nil {
		return err
	}
	return do(sets)
}

// inSets does something with the sets of a namespace, unless that has gone with them.
func (k *Kernel) inSets(ns state.NS, do func(*ipset.Conn) error) error {
	sets, err := k.setsOf(ns)
	if err != nil || sets == nil {
		return err
	}
	return do(sets)
}

func (k *Kernel) putSet(_ context.Context, old state.Object, set state.Set) error {
	return k.putIn(set.NS, func(sets *ipset.Conn) error {
		if old != nil {
			return sets.Replace(set)
		}
		return sets.Put(set)
	})
}

func (k *Kernel) removeSet(_ context.Context, set state.Set) error {
	return k.inSets(set.NS, func(sets *ipset.Conn) error { return sets.Remove(set) })
}

// changeMembers: the ops are of one action.
func (k *Kernel) changeMembers(_ context.Context, ops []state.Op) (left []state.Op, failed []OpError) {
	for ns, of := range byNamespace(ops) {
		if sets, err := k.setsOf(ns); err == nil && sets != nil {
			of = sets.Bulk(of)
		}
		left = append(left, of...)
	}
	return left, nil
}

func byNamespace(ops []state.Op) map[state.NS][]state.Op {
	all := map[state.NS][]state.Op{}
	for _, op := range ops {
		ns := op.Object().Key().NS
		all[ns] = append(all[ns], op)
	}
	return all
}

// MakeSets makes the sets that are missing, empty: rules that name them can then be
// loaded before the agent runs. pairs is how many pairs of VIPs are in use.
func (k *Kernel) MakeSets(ctx context.Context, pairs int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _ = k.programs.Run(ctx, "", "modprobe", "-a", "ip_set_bitmap_port", "ip_set_hash_ip", "ip_set_hash_netport", "xt_set") // where they are built in, making a set needs none
	var errs []error
	for _, set := range append(state.Sets(), state.SetsByAddress(pairs)...) {
		if err := k.putSet(ctx, nil, set); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", set, err))
		}
	}
	return errors.Join(errs...)
}

func (k *Kernel) putMember(_ context.Context, _ state.Object, m state.SetMember) error {
	return k.putIn(m.NS, func(sets *ipset.Conn) error { return sets.Add(m) })
}

func (k *Kernel) removeMember(_ context.Context, m state.SetMember) error {
	return k.inSets(m.NS, func(sets *ipset.Conn) error {
		return nlmsg.Ignore(sets.Delete(m), unix.ENOENT) // without its set
	})
}
