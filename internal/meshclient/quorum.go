package meshclient

import (
	"cmp"
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// quorum is the sets of voters, by address, that have to agree by majority: one, two
// while voters change, none where the record has none and hosts is not known.
type quorum [][]string

// voters are the addresses in any of the sets, sorted.
func (q quorum) voters() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(q...))))
}

// majority says that in each set more than half are counted.
func (q quorum) majority(counts func(address string) bool) bool {
	for _, set := range q {
		n := 0
		for _, address := range set {
			if counts(address) {
				n++
			}
		}
		if n*2 <= len(set) {
			return false
		}
	}
	return true
}

// vote is what a voter says. A voter without a record, or of another cluster, has
// no say, and neither has one that cannot be asked.
type vote struct {
	generation uint64 // 0 for no say
	hash       string
}

// ballot is a snapshot's question which record counts.
type ballot struct {
	quorum quorum
	votes  map[string]vote // by address
}

// result is the answer to a ballot.
type result struct {
	hash string // of the record that counts, "" for none
	// heard says that a majority has a record: without that nothing can be changed.
	heard bool
	// certain says that a majority has this record.
	certain bool
}

// decide finds the record that counts. Certain is the one that a majority has. Without one,
// the newest counts that may have been acknowledged: those that have it or a newer
// one, and those that have no say, are a majority. It may be that nobody was told of
// it. To take it is right all the same, for then nothing else was acknowledged.
func (b ballot) decide() result {
	say := func(address string) bool { return b.votes[address].generation > 0 }
	r := result{heard: b.quorum.majority(say)}
	var best vote
	for _, v := range b.candidates() {
		if b.has(v.hash) {
			return result{v.hash, r.heard, true}
		}
		possible := b.quorum.majority(func(address string) bool {
			other := b.votes[address]
			return other.hash == v.hash || other.generation > v.generation || other.generation == 0
		})
		if best.hash == "" && possible && b.honest(v) {
			best = v
		}
	}
	r.hash = best.hash
	return r
}

// has says that a majority has the record.
func (b ballot) has(hash string) bool {
	return b.quorum.majority(func(address string) bool { return b.votes[address].hash == hash })
}

// honest says that the record is not further ahead of another voter's than commits
// can have brought it.
func (b ballot) honest(v vote) bool {
	for _, other := range b.votes {
		if other.generation > 0 && v.generation > other.generation+mesh.MaxGenerationJump {
			return false
		}
	}
	return true
}

// candidates are the different records, the newest first.
func (b ballot) candidates() []vote {
	set := map[vote]bool{}
	for _, address := range b.quorum.voters() {
		if v := b.votes[address]; v.generation > 0 {
			set[v] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(x, y vote) int {
		return cmp.Or(cmp.Compare(y.generation, x.generation), cmp.Compare(x.hash, y.hash))
	})
}
