package sshdial

import "errors"

// PinHostKey makes key (authorized_keys form) the only one that address
// ("host:port", as Endpoint.Address and Router.Resolve give it) may show, unless the
// configuration, known_hosts or the record knows better. A connection that was accepted with
// another key is closed. A key that cannot be read refuses every one. source says
// in errors where the key comes from.
func (p *Pool) PinHostKey(address, key, source string) {
	p.keys.pin(address, key, source)
	p.recheck(address)
}

// HoldToKnown ends first sight for the endpoints: from now on a key that nothing knows
// is refused there, as with HostKeyStrict. What this process has seen stays accepted.
func (p *Pool) HoldToKnown(eps ...*Endpoint) {
	p.keys.mu.Lock()
	defer p.keys.mu.Unlock()
	for _, ep := range eps {
		p.keys.held[ep.Address()] = true
	}
}

// HostKey returns the key that address ("host:port") showed, else the one that
// is pinned, in authorized_keys form; "" when there is none.
func (p *Pool) HostKey(address string) string { return p.keys.get(address) }

// Seen returns the key that ep showed and that was accepted, in authorized_keys
// form; "" when it was not connected yet.
func (p *Pool) Seen(ep *Endpoint) string {
	key := p.keys.seenAt(ep)
	if key == nil {
		return ""
	}
	return authorizedKey(key)
}

// Contradicts tells whether key (authorized_keys form), as the known one of ep,
// would decide otherwise than err, what came of connecting to ep, does. What is
// configured, and known_hosts, count more than it. A key that cannot be read
// decides nothing.
func (p *Pool) Contradicts(ep *Endpoint, key string, err error) bool {
	return p.keys.contradicts(ep, key, err)
}

// Repin makes key the known one of ep in place of what was pinned or seen, and
// closes a connection that was accepted with another. source says in errors where
// the key comes from.
func (p *Pool) Repin(ep *Endpoint, key, source string) {
	p.keys.repin(ep, key, source)
	p.recheck(ep.Address())
}

// contradicts: see Pool.Contradicts.
func (h *hostKeys) contradicts(ep *Endpoint, text string, err error) bool {
	key, bad := parseHostKey(text)
	if bad != nil || ep.hostKey.configured || h.policy == HostKeyInsecure {
		return false
	}
	if refused, ok := errors.AsType[*HostKeyError](err); ok {
		// A host has keys of several types, and shows the one that is asked for: that
		// it showed a key of another type decides nothing.
		same := refused.Key == authorizedKey(key) || refused.Type != key.Type()
		return refused.Address == ep.Address() && same && !refused.Revoked && !ep.knownHosts.knows(ep.Address())
	}
	seen := h.seenAt(ep)
	return seen != nil && !sameKey(seen, key) && !ep.knownHosts.knows(ep.Address())
}

// repin forgets what was pinned for and seen at ep.
func (h *hostKeys) repin(ep *Endpoint, text, source string) {
	key, _ := parseHostKey(text) // one that cannot be read refuses every key
	h.forget(ep)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pinned[ep.Address()] = knownKey{key: key, source: source}
}
