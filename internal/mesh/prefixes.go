package mesh

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// PrefixList is a set of IPv4 networks, sorted. It is comparable, so that what has one
// is: its text is the networks separated by commas, "" for none. In JSON it is a list.
type PrefixList string

// MaxPrefixes is how many networks one list may have.
const MaxPrefixes = 256

// ParsePrefixList reads networks as in 192.0.2.0/24. Each must be written as it is meant:
// an address with a prefix length that is longer than the network is a mistake.
func ParsePrefixList(networks []string) (PrefixList, error) {
	if len(networks) > MaxPrefixes {
		return "", fmt.Errorf("%d networks are too many: at most %d can be listed", len(networks), MaxPrefixes)
	}
	prefixes := make([]netip.Prefix, 0, len(networks))
	for _, text := range networks {
		p, err := parseNetwork(text)
		if err != nil {
			return "", err
		}
		prefixes = append(prefixes, p)
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	prefixes = slices.Compact(prefixes)
	var b strings.Builder
	for i, p := range prefixes {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(p.String())
	}
	return PrefixList(b.String()), nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is not a network: want ADDRESS/LENGTH, as in 192.0.2.0/24 or 192.0.2.7/32", text)
	case !p.Addr().Is4():
		return p, fmt.Errorf("%q is not an IPv4 network", text)
	case p.Bits() == 0:
		return p, fmt.Errorf("%q is everybody, which is what no list means", text)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits beyond its prefix length: is %s meant, or %s/32?", text, p.Masked(), p.Addr())
	}
	return p, nil
}

// Strings are the networks as in 192.0.2.0/24.
func (l PrefixList) Strings() []string {
	if l == "" {
		return nil
	}
	return strings.Split(string(l), ",")
}

// Prefixes are the networks.
func (l PrefixList) Prefixes() []netip.Prefix {
	texts := l.Strings()
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil { // ParsePrefixList has made it
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

// MarshalJSON writes a list.
func (l PrefixList) MarshalJSON() ([]byte, error) { return json.Marshal(l.Strings()) }

// UnmarshalJSON reads a list.
func (l *PrefixList) UnmarshalJSON(data []byte) error {
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return err
	}
	list, err := ParsePrefixList(texts)
	*l = list
	return err
}

// check says what is wrong with a list that somebody has put together otherwise.
func (l PrefixList) check() error {
	again, err := ParsePrefixList(l.Strings())
	if err == nil && again != l {
		err = fmt.Errorf("the networks %s are not sorted", l)
	}
	return err
}
