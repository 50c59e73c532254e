package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

var setHandler = newHandler((*Kernel).observeSets, (*Kernel).putSet, (*Kernel).removeSet)

// setMemberHandler: a set is listed with its members.
var setMemberHandler = newHandler(nil, (*Kernel).putMember, (*Kernel).removeMember).alongWith(state.KindSet).
	ofMany(func(k *Kernel, _ context.Context, ops []state.Op) ([]state.Op, []OpError) {
		return k.sets.bulk(ops), nil
	})

func (k *Kernel) observeSets(_ context.Context, r *view) error {
	if r.ns != state.Host {
		return nil
	}
	names, err := k.sets.names()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // the kernel has no ipset, so there are no sets
	}
	if err != nil {
		return fmt.Errorf("list ipsets: %w", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, state.SetPrefix) {
			continue
		}
		set, err := k.sets.members(name, r.many.member)
		if errors.Is(err, unix.ENOENT) { // gone meanwhile
			continue
		}
		if err != nil {
			return fmt.Errorf("list ipset %s: %w", name, err)
		}
		r.into.Put(set)
	}
	return nil
}

// putSet makes a set, or puts a right one into the place of a wrong one. Rules
// may refer to it, so it is swapped for a new one; its members come with the
// caller's next plan.
func (k *Kernel) putSet(_ context.Context, old state.Object, set state.Set) error {
	if old == nil {
		return noIPSet(k.sets.create(set))
	}
	spare := state.Set{Name: set.Name + "-new", Type: set.Type}
	if err := k.sets.create(spare); err != nil {
		return err
	}
	err := k.sets.swap(set.Name, spare.Name)
	return errors.Join(err, k.sets.destroy(spare.Name))
}

// MakeSets makes the sets that are missing, empty: rules that name them can then be
// loaded before the agent runs.
func (k *Kernel) MakeSets(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _ = k.programs.Run(ctx, "", "modprobe", "-a", "ip_set_bitmap_port", "ip_set_hash_ip", "xt_set") // where they are built in, making a set needs none
	var errs []error
	for _, set := range state.Sets() {
		if err := k.putSet(ctx, nil, set); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", set, err))
		}
	}
	return errors.Join(errs...)
}

func (k *Kernel) removeSet(_ context.Context, set state.Set) error {
	err := nlmsg.Ignore(k.sets.destroy(set.Name), unix.ENOENT)
	if errors.Is(err, nl.IPSetError(nl.IPSET_ERR_BUSY)) {
		return fmt.Errorf("a rule that is not ours refers to it: %w", err)
	}
	return err
}

func noIPSet(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, nl.IPSetError(nl.IPSET_ERR_FIND_TYPE)) {
		return fmt.Errorf("the kernel has no ipset of this type (modprobe ip_set_bitmap_port ip_set_hash_ip; %s): %w", program.ExtraModules, err)
	}
	return err
}

func (k *Kernel) putMember(_ context.Context, _ state.Object, m state.SetMember) error {
	return k.sets.add(m)
}

func (k *Kernel) removeMember(_ context.Context, m state.SetMember) error {
	return nlmsg.Ignore(k.sets.del(m), unix.ENOENT) // without its set
}
