package meshclient

import (
	"context"
	"errors"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// heedRecord holds the provider's hosts to the keys that the record has of them
// as nodes, where nothing else is known but the Terraform state or the first
// sight. Both may be wrong: the state still has the old key of a host that was
// set up anew and has joined again, and an apply knows none, for it reads no
// state of the cluster. Those to whom that makes a difference are asked again,
// and the record is chosen anew.
func (f *fetch) heedRecord(ctx context.Context) {
	var again []*endpoint
	for _, ep := range f.client.router.hosts {
		if n := f.nodeAt(ep); n != nil && f.client.keys.overruled(ep, n.SSH.HostKey, f.asked[ep.key()].Err) {
			f.client.keys.pinRecord(ep, n)
			f.client.pool.recheck(ep.address())
			again = append(again, ep)
		}
	}
	if len(again) == 0 {
		return
	}
	f.ask(ctx, again, "")
	f.record, f.hash = nil, ""
	f.choose()
}

// nodeAt returns the node of the record that is reached as ep is.
func (f *fetch) nodeAt(ep *endpoint) *mesh.Node {
	if f.record == nil {
		return nil
	}
	for _, n := range f.record.Nodes {
		if at, err := f.client.router.node(n); err == nil && at.route() == ep.route() {
			return n
		}
	}
	return nil
}

// overruled tells whether the record's key decides otherwise than err, what came
// of asking ep, does. What is configured, and known_hosts, count more than it.
func (h *hostKeys) overruled(ep *endpoint, recorded string, err error) bool {
	key, bad := parseHostKey(recorded)
	if bad != nil || ep.hostKey.set() || h.policy == HostKeyInsecure {
		return false
	}
	if refused, ok := errors.AsType[*HostKeyError](err); ok {
		// A host has keys of several types, and shows the one that is asked for: that
		// it showed another type than the record has decides nothing.
		same := refused.Key == authorizedKey(key) || refused.Type != key.Type()
		return refused.Address == ep.address() && same && !refused.Revoked
	}
	seen := h.seenAt(ep)
	if seen == nil || sameKey(seen, key) {
		return false
	}
	_, unknown := ep.knownHosts.check(ep.address(), seen)
	return ep.knownHosts == nil || unknown != nil
}

// pinRecord makes the record's key the known one, and forgets what was seen.
func (h *hostKeys) pinRecord(ep *endpoint, n *mesh.Node) {
	key, _ := parseHostKey(n.SSH.HostKey) // read before
	h.forget(ep)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pinned[ep.address()] = knownKey{key, "the cluster's record, of node " + n.Name}
}
