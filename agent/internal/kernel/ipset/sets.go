package ipset

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Observe puts the sets whose names begin with the prefix, and shows their members.
func (s *Conn) Observe(prefix string, into state.State, member func(state.SetMember)) error {
	names, err := s.Names()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // the kernel has no ipset, so there are no sets
	}
	if err != nil {
		return fmt.Errorf("list ipsets: %w", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		set, err := s.List(name, member)
		if errors.Is(err, unix.ENOENT) { // gone meanwhile
			continue
		}
		if err != nil {
			return fmt.Errorf("list ipset %s: %w", name, err)
		}
		into.Put(set)
	}
	return nil
}

// maxTests is how many members of a set are asked for one by one before the whole
// set is listed.
const maxTests = 32

// Find shows those of the members of a set that are in it; none without the set. Of a range
// it shows the ports, one by one.
func (s *Conn) Find(set string, members []state.SetMember, found func(state.SetMember)) error {
	isRange := func(m state.SetMember) bool { return m.Last != 0 }
	if len(members) > maxTests || slices.ContainsFunc(members, isRange) || marks(set) {
		wanted, ranges := map[state.SetMember]bool{}, []state.SetMember{}
		for _, m := range members {
			if isRange(m) {
				ranges = append(ranges, m)
			} else {
				wanted[withoutMark(m)] = true
			}
		}
		_, err := s.List(set, func(m state.SetMember) {
			if wanted[withoutMark(m)] || slices.ContainsFunc(ranges, m.Overlaps) {
				found(m)
			}
		})
		if err := nlmsg.Ignore(err, unix.ENOENT); err != nil {
			return fmt.Errorf("list ipset %s: %w", set, err)
		}
		return nil
	}
	for _, m := range members {
		is, err := s.Has(m)
		if err != nil {
			return fmt.Errorf("look for %s: %w", m, err)
		}
		if is {
			found(m)
		}
	}
	return nil
}

// marks says that members of the set have marks, which the test of a member does not compare.
func marks(set string) bool { return set == state.IdentitySet || set == state.VIPSet }

func withoutMark(m state.SetMember) state.SetMember {
	if marks(m.Set) {
		m.Mark = 0
	}
	return m
}

// Put makes a set that is not there.
func (s *Conn) Put(set state.Set) error {
	err := s.Create(set)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, nl.IPSetError(nl.IPSET_ERR_FIND_TYPE)) {
		return fmt.Errorf("the kernel has no ipset of this type (modprobe ip_set_bitmap_port ip_set_hash_ip; %s): %w", program.ExtraModules, err)
	}
	return err
}

// Replace puts a right set into the place of a wrong one. Rules may refer to it, so it
// is swapped for a new one; its members come with the caller's next plan.
func (s *Conn) Replace(set state.Set) error {
	spare := state.Set{NS: set.NS, Name: set.Name + "-new", Type: set.Type}
	if err := s.Create(spare); err != nil {
		return err
	}
	err := s.Swap(set.Name, spare.Name)
	return errors.Join(err, s.Destroy(spare.Name))
}

// Remove removes a set that may be gone.
func (s *Conn) Remove(set state.Set) error {
	err := nlmsg.Ignore(s.Destroy(set.Name), unix.ENOENT)
	if errors.Is(err, nl.IPSetError(nl.IPSET_ERR_BUSY)) {
		return fmt.Errorf("a rule that is not ours refers to it: %w", err)
	}
	return err
}
