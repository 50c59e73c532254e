package mesh

import (
	"fmt"
	"net/netip"
	"strings"
)

// Validate checks a record that came from outside (a file, a peer). It asks the rules that
// the Put methods ask (Cluster.Check, checkNode, Service.check, checkNetwork, PublishedPort.check), and
// that keys and values agree: what it takes, they could have made, and what they make, it
// takes (FuzzRules). So a rule that a later version adds or tightens needs another
// RecordFormat, or the clusters that break it stop.
func (r *Record) Validate() error {
	if r.Format != RecordFormat {
		return fmt.Errorf("the record has format %d, this program knows %d: upgrade the older side", r.Format, RecordFormat)
	}
	if err := checkUID(r.UID); err != nil {
		return err
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
	endpoints := 0
	for _, s := range r.Services {
		if s != nil {
			endpoints += len(s.Endpoints)
		}
	}
	seen := make(map[process]string, endpoints)
	for name, s := range r.Services {
		if s == nil || s.Name != name {
			return fmt.Errorf("the record's service %q is malformed", name)
		}
		if err := s.check(seen); err != nil {
			return err
		}
	}
	if err := r.validateSlots(); err != nil {
		return err
	}
	if err := r.validateNetworks(); err != nil {
		return err
	}
	reserved := r.reservations()
	for k, p := range r.Ports {
		if p == nil || p.Key() != k || k.Port == 0 {
			return fmt.Errorf("the record's port %q is malformed", k)
		}
		if err := p.check(r, reserved); err != nil {
			return err
		}
		if err := r.checkPairs(p); err != nil {
			return err
		}
	}
	return r.checkRangesApart()
}

// checkUID: it is random hex, and shown.
func checkUID(uid string) error {
	if uid == "" {
		return fmt.Errorf("the record has no uid")
	}
	if !isText(uid) || strings.ContainsAny(uid, "\n\t") {
		return fmt.Errorf("the record's uid %.80q has control characters or is too long", uid)
	}
	return nil
}

func (r *Record) validateNodes() error {
	blocks, addresses := make(map[netip.Prefix]string, len(r.Nodes)), make(map[netip.Addr]string, len(r.Nodes))
	own, pool := r.Cluster.ownListeners(), r.Cluster.AddressPool
	for name, n := range r.Nodes {
		if n == nil || n.Name != name {
			return fmt.Errorf("the record's node %q is malformed", name)
		}
		if !n.Address.IsValid() {
			return n.addressMissing()
		}
		if err := r.checkNode(n, own); err != nil {
			return err
		}
		if other, ok := addresses[n.Address]; ok {
			return r.Nodes[max(name, other)].addressTaken(r.Nodes[min(name, other)])
		}
		addresses[n.Address] = name
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
