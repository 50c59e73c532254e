package meshclient

import (
	"fmt"
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
	for i, a := range c.hosts {
		for _, b := range c.hosts[:i] {
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
				return &TwinHostsError{b.Name, a.Name, as.Node}
			}
		}
	}
	return nil
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
