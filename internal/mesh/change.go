package mesh

import (
	"fmt"
	"maps"
	"reflect"
)

// Change is a record as what differs from the one before it, for who has that
// one: publishing a port costs as much among 10,000 as it does alone.
type Change struct {
	// Base is the Hash of the record that the change is made to, Hash that of the
	// one that comes of it.
	Base string `json:"base"`
	Hash string `json:"hash"`
	// Generation, Parent and NextBlock are the next record's.
	Generation uint64 `json:"generation"`
	Parent     string `json:"parent"`
	NextBlock  int    `json:"next_block"`
	// Addressing is nil where it stays as it is, and without Identities where there is none any more.
	Addressing *NetworkAddressing `json:"addressing,omitempty"`
	// Voters is nil where they stay as they are: a record that has some keeps some.
	Voters *Voters `json:"voters,omitempty"`
	// Cluster is nil where the settings stay as they are.
	Cluster *Cluster `json:"cluster,omitempty"`
	// Nodes, Services, Ports and Networks have what is new or other; nil is what is gone.
	Nodes    map[string]*Node           `json:"nodes,omitempty"`
	Services map[string]*Service        `json:"services,omitempty"`
	Ports    map[PortKey]*PublishedPort `json:"ports,omitempty"`
	Networks map[string]*Network        `json:"networks,omitempty"`
}

// Origin is what a record was made of: the record before it, and the change.
type Origin struct {
	Base   *Record
	Change *Change
}

// Diff returns what makes next of base, a record of the same cluster. The
// change shares next's objects; its Base and Hash are for the caller to set.
func Diff(base, next *Record) *Change {
	c := &Change{
		Generation: next.Generation, Parent: next.Parent, NextBlock: next.NextBlock,
		Nodes:    differing(base.Nodes, next.Nodes, sameDeep),
		Services: differing(base.Services, next.Services, sameDeep),
		Ports:    differing(base.Ports, next.Ports, func(a, b *PublishedPort) bool { return *a == *b }),
		Networks: differing(base.Networks, next.Networks, sameDeep),
	}
	if !base.Addressing.equal(next.Addressing) {
		if c.Addressing = next.Addressing; c.Addressing == nil {
			c.Addressing = &NetworkAddressing{}
		}
	}
	if !base.Voters.Equal(next.Voters) {
		c.Voters = next.Voters
	}
	if base.Cluster != next.Cluster {
		settings := next.Cluster
		c.Cluster = &settings
	}
	return c
}

// sameDeep is quick about what a Successor shares.
func sameDeep[T any](a, b *T) bool { return a == b || reflect.DeepEqual(a, b) }

// differing is nil where there is nothing.
func differing[K comparable, V any](base, next map[K]*V, same func(a, b *V) bool) map[K]*V {
	var found map[K]*V
	put := func(k K, v *V) {
		if found == nil {
			found = map[K]*V{}
		}
		found[k] = v
	}
	for k, v := range next {
		if old := base[k]; old == nil || !same(old, v) {
			put(k, v)
		}
	}
	for k := range base {
		if next[k] == nil {
			put(k, nil)
		}
	}
	return found
}

// Unchanged says that a change made by Diff of base has nothing in it besides
// another generation. That the first voters are written is no reason for a commit.
func (c *Change) Unchanged(base *Record) bool {
	return c.Cluster == nil && (c.Voters == nil || base.Voters == nil) && len(c.Nodes) == 0 && len(c.Services) == 0 && len(c.Ports) == 0 &&
		len(c.Networks) == 0 && c.Addressing == nil && c.NextBlock == base.NextBlock
}

// Apply makes the next record. It shares with r what stays as it is. What it
// makes is checked as Validate does and has c's Hash, or there is an error.
// That r is the record of c.Base is for the caller to see to.
func (r *Record) Apply(c *Change) (Encoded, error) {
	next := *r
	next.Generation, next.Parent, next.NextBlock = c.Generation, c.Parent, c.NextBlock
	if c.Cluster != nil {
		next.Cluster = *c.Cluster
	}
	if c.Voters != nil {
		next.Voters = c.Voters
	}
	if c.Addressing != nil {
		if next.Addressing = c.Addressing; c.Addressing.Identities == nil {
			next.Addressing = nil
		}
	}
	next.Nodes, next.Services, next.Ports = replaced(r.Nodes, c.Nodes), replaced(r.Services, c.Services), replaced(r.Ports, c.Ports)
	if next.Networks = replaced(r.Networks, c.Networks); len(next.Networks) == 0 {
		next.Networks = nil
	}
	if err := next.Validate(); err != nil {
		return Encoded{}, err
	}
	made := next.Encode()
	if made.Hash != c.Hash {
		return Encoded{}, fmt.Errorf("the change makes another record (%.12s) than it names (%.12s)", made.Hash, c.Hash)
	}
	made.Origin = &Origin{r, c}
	return made, nil
}

func replaced[K comparable, V any](base, change map[K]*V) map[K]*V {
	if len(change) == 0 {
		return base
	}
	all := maps.Clone(base)
	if all == nil {
		all = make(map[K]*V, len(change))
	}
	for k, v := range change {
		if v == nil {
			delete(all, k)
		} else {
			all[k] = v
		}
	}
	return all
}

// Proposed returns the record that the request is about, on a host that has own
// (nil for none). ok is false where the request has a change to another record:
// the caller is to send the whole one.
func (req *PrepareRequest) Proposed(own *Record, ownHash string) (next Encoded, ok bool, err error) {
	switch {
	case req.Record != nil:
		if err := req.Record.Validate(); err != nil {
			return Encoded{}, true, err
		}
		return req.Record.Encode(), true, nil
	case own == nil || req.Change == nil || req.Change.Base != ownHash:
		return Encoded{}, false, nil
	}
	next, err = own.Apply(req.Change)
	return next, true, err
}
