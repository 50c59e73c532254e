package meshclient

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
)

// TwinHostsError is one host that the provider lists by two names. Counted
// twice, it would hold a majority by itself.
type TwinHostsError struct {
	First, Second string // entries of hosts
	Node          string // the node that it is, "" for none
}

func (e *TwinHostsError) Error() string {
	host := "the same host"
	if e.Node != "" {
		host += " " + e.Node
	}
	return fmt.Sprintf("hosts: %s and %s are %s. A change needs the agreement of more than half of the hosts, and this one would count twice: "+
		"list it once, and another host in its place.", e.First, e.Second, host)
}

// twins looks for two of the provider's hosts that are one.
func (c *Client) twins(s *Snapshot) error {
	for i, a := range c.router.hosts {
		for _, b := range c.router.hosts[:i] {
			as, bs := s.statusAt(a), s.statusAt(b)
			if as == nil || bs == nil {
				continue
			}
			// Both are of this moment, so that different instances are two hosts.
			same := as.Instance == bs.Instance
			if as.Instance == "" || bs.Instance == "" {
				same = c.sameMachine(b, bs, a, as)
			}
			if same {
				return &TwinHostsError{b.name, a.name, as.Node}
			}
		}
	}
	return nil
}

// canonicalHost spells a name or address as others of the same meaning are
// spelled: names are equal in any case and with a dot at their end.
func canonicalHost(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// canonicalRoute is ep's route with canonical hosts.
func canonicalRoute(ep *endpoint) string {
	if ep == nil {
		return ""
	}
	return fmt.Sprintf("%s port %d via %s", canonicalHost(ep.host), ep.port, canonicalRoute(ep.via))
}

// keyedMutex is one mutex per key.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]*sync.Mutex
}

func (k *keyedMutex) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*sync.Mutex{}
	}
	m := k.held[key]
	if m == nil {
		m = &sync.Mutex{}
		k.held[key] = m
	}
	k.mu.Unlock()
	m.Lock()
	return m.Unlock
}
