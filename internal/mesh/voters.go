package mesh

import (
	"fmt"
	"net"
	"slices"
	"strconv"
)

const (
	// MaxGenerationJump is the most that a record may be ahead of the one that it
	// replaces. A generation that is further ahead was not made by commits.
	MaxGenerationJump = 1 << 32
	// maxVoters is more than anybody lists as hosts.
	maxVoters = 64
)

// Voters are the hosts whose majority decides what the record is. It is not
// changed in place: records share it.
type Voters struct {
	// Hosts are the addresses of their SSH servers, "host:port", sorted.
	Hosts []string `json:"hosts"`
	// Before are those that were voters before, sorted, while Hosts take over from
	// them: a majority of both decides then. Empty otherwise.
	Before []string `json:"before,omitempty"`
}

// NewVoters returns voters for a record, nil for no hosts.
func NewVoters(hosts, before []string) *Voters {
	if len(hosts) == 0 {
		return nil
	}
	return &Voters{sortedSet(hosts), sortedSet(before)}
}

func sortedSet(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// Sets are the sets of hosts each of which has to agree by majority, none for a
// record of a version that did not know voters.
func (v *Voters) Sets() [][]string {
	switch {
	case v == nil:
		return nil
	case len(v.Before) == 0:
		return [][]string{v.Hosts}
	}
	return [][]string{v.Hosts, v.Before}
}

// Equal says that a and b are the same hosts.
func (v *Voters) Equal(other *Voters) bool {
	if v == nil || other == nil {
		return v == other
	}
	return slices.Equal(v.Hosts, other.Hosts) && slices.Equal(v.Before, other.Before)
}

func (v *Voters) check() error {
	if v == nil {
		return nil
	}
	if len(v.Hosts) == 0 {
		return fmt.Errorf("the record has a set of voters without hosts")
	}
	for _, set := range v.Sets() {
		if len(set) > maxVoters || !slices.Equal(set, sortedSet(set)) {
			return fmt.Errorf("the record's voters %q are more than %d, or not sorted", set, maxVoters)
		}
		for _, address := range set {
			host, port, err := net.SplitHostPort(address)
			if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
				return fmt.Errorf("the record's voter %q is not a host and a port", address)
			}
		}
	}
	return nil
}
