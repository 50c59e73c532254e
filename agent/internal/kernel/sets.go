package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

var setHandler = newHandler((*Kernel).observeSets, (*Kernel).putSet, (*Kernel).removeSet)

// setMemberHandler: a set is listed with its members.
var setMemberHandler = steersIf(newHandler(nil, (*Kernel).putMember, (*Kernel).removeMember).alongWith(state.KindSet).
	ofMany(func(k *Kernel, _ context.Context, ops []state.Op) ([]state.Op, []OpError) {
		return k.sets.Bulk(ops), nil
	}).
	countedBy(func(r *watch.Reading, o state.Object) *uint32 { return r.Members(o.Key().Name) }),
	func(m state.SetMember) bool { return slices.Contains(openUDP, m.Set) || state.IsListenSet(m.Set) })

func (k *Kernel) observeSets(_ context.Context, r *view) error {
	if r.ns != state.Host {
		return nil
	}
	return k.sets.Observe(state.SetPrefix, r.into, r.many.Member)
}

func (k *Kernel) putSet(_ context.Context, old state.Object, set state.Set) error {
	if old != nil {
		return k.sets.Replace(set)
	}
	return k.sets.Put(set)
}

func (k *Kernel) removeSet(_ context.Context, set state.Set) error { return k.sets.Remove(set) }

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
	return k.sets.Add(m)
}

func (k *Kernel) removeMember(_ context.Context, m state.SetMember) error {
	return nlmsg.Ignore(k.sets.Delete(m), unix.ENOENT) // without its set
}
