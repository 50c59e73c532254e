package mesh

import (
	"fmt"
	"net/netip"
)

// Validate checks a record that came from outside (a file, a peer): every rule
// that the Put methods keep, and that keys and values agree.
func (r *Record) Validate() error {
	if r.Format != RecordFormat {
		return fmt.Errorf("the record has format %d, this program knows %d: upgrade the older side", r.Format, RecordFormat)
	}
	if r.UID == "" {
		return fmt.Errorf("the record has no uid")
	}
	if err := r.Cluster.Check(); err != nil {
		return err
	}
	if r.Nodes == nil || r.Services == nil || r.Ports == nil {
		return fmt.Errorf("the record lacks nodes, services or ports")
	}
	if r.NextBlock < 0 || r.NextBlock >= r.Cluster.Capacity() {
		return fmt.Errorf("the record's next_block %d is not in 0–%d", r.NextBlock, r.Cluster.Capacity()-1)
	}
	if err := r.Voters.check(); err != nil {
		return err
	}
	if err := r.validateNodes(); err != nil {
		return err
	}
	for name, s := range r.Services {
		if s == nil || s.Name != name || CheckName(name) != nil {
			return fmt.Errorf("the record's service %q is malformed", name)
		}
		if err := s.checkBalance(); err != nil {
			return err
		}
	}
	reserved := r.reservations()
	for k, p := range r.Ports {
		if p == nil || p.Key() != k {
			return fmt.Errorf("the record's port %q is malformed", k)
		}
		if err := p.check(r); err != nil {
			return err
		}
		if why := reserved.why(k); why != "" {
			return p.reserved(why)
		}
	}
	return nil
}

func (r *Record) validateNodes() error {
	blocks := map[netip.Prefix]string{}
	for name, n := range r.Nodes {
		if n == nil || n.Name != name || CheckName(name) != nil || !n.Address.Is4() || !n.Availability.known() {
			return fmt.Errorf("the record's node %q is malformed", name)
		}
		pool := r.Cluster.AddressPool
		if n.Block != n.Block.Masked() || n.Block.Bits() != r.Cluster.NodePrefixLength || !pool.Contains(n.Block.Addr()) {
			return fmt.Errorf("the record's node %q has the block %s, which is none of the pool %s", name, n.Block, pool)
		}
		if other, ok := blocks[n.Block]; ok {
			return fmt.Errorf("the record's nodes %q and %q share the block %s", other, name, n.Block)
		}
		blocks[n.Block] = name
	}
	return nil
}
