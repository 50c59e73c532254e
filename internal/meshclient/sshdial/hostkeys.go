package sshdial

import (
	"bytes"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownKey is a host key that was known beforehand, and where from. A key that
// could not be read still counts as known, so that a damaged pin refuses
// rather than accepts everything.
type knownKey struct {
	key    ssh.PublicKey
	source string // "" when there is none
}

func (k knownKey) set() bool { return k.source != "" }

func (k knownKey) is(key ssh.PublicKey) bool { return k.key != nil && sameKey(k.key, key) }

func (k knownKey) describe() KnownHostKey {
	if k.key == nil {
		return KnownHostKey{Fingerprint: "unreadable", Type: "no public key", Source: k.source}
	}
	return KnownHostKey{ssh.FingerprintSHA256(k.key), k.key.Type(), k.source}
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// authorizedKey is the key's text without a comment.
func authorizedKey(k ssh.PublicKey) string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(k)), "\n")
}

// parseHostKey reads one public key in authorized_keys form.
func parseHostKey(s string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(s))
	if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it is no public key: want TYPE BASE64, as in the host's /etc/ssh/ssh_host_ed25519_key.pub")
	}
	return key, nil
}

// hostKeys decides which host keys are accepted, and remembers them. Known
// keys come, in this order, from the endpoint's own key (a setting of all
// hosts, or its OwnSettings), from PinHostKey and Repin, from known_hosts, and
// from the first connection of this process.
type hostKeys struct {
	policy HostKeyPolicy
	mu     sync.Mutex
	pinned map[string]knownKey      // by address
	seen   map[string]ssh.PublicKey // by route
}

func newHostKeys(policy HostKeyPolicy) *hostKeys {
	return &hostKeys{policy: policy, pinned: map[string]knownKey{}, seen: map[string]ssh.PublicKey{}}
}

func (h *hostKeys) pin(address, text, source string) {
	key, _ := parseHostKey(text)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pinned[address] = knownKey{key, source}
}

// forget drops the keys that were pinned for or seen at ep's address.
func (h *hostKeys) forget(ep *Endpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pinned, ep.Address())
	delete(h.seen, ep.Route())
}

// get returns the key seen at or pinned for the address.
func (h *hostKeys) get(address string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.seen[address]; k != nil {
		return authorizedKey(k)
	}
	for _, route := range slices.Sorted(maps.Keys(h.seen)) {
		if strings.HasPrefix(route, address+" via ") {
			return authorizedKey(h.seen[route])
		}
	}
	if k := h.pinned[address].key; k != nil {
		return authorizedKey(k)
	}
	return ""
}

func (h *hostKeys) seenAt(ep *Endpoint) ssh.PublicKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[ep.Route()]
}

// known returns the one key that ep is held to, apart from known_hosts.
func (h *hostKeys) known(ep *Endpoint) knownKey {
	if ep.hostKey.set() {
		return ep.hostKey
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pinned[ep.Address()]
}

// accept is called with the key that the host shows, before any login.
func (h *hostKeys) accept(ep *Endpoint, key ssh.PublicKey) error {
	if h.policy != HostKeyInsecure {
		if err := h.check(ep, key); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[ep.Route()] = plainKey(key)
	return nil
}

// recheck says whether a connection that is already open would still be
// accepted: a key may have been pinned since, or ep may be stricter.
func (h *hostKeys) recheck(ep *Endpoint, key ssh.PublicKey) error {
	if known := h.known(ep); h.policy != HostKeyInsecure && known.set() && !known.is(plainKey(key)) {
		return refusedKey(ep, key, known.describe())
	}
	return nil
}

func (h *hostKeys) check(ep *Endpoint, key ssh.PublicKey) error {
	if known := h.known(ep); known.set() {
		return h.recheck(ep, key)
	}
	switch known, err := ep.knownHosts.check(ep.Address(), key); {
	case err == nil && ep.knownHosts != nil:
		return nil
	case len(known) > 0:
		refused := refusedKey(ep, key, known...)
		var revoked *knownhosts.RevokedError
		refused.Revoked = errors.As(err, &revoked)
		return refused
	}
	if seen := h.seenAt(ep); seen != nil {
		if sameKey(seen, plainKey(key)) {
			return nil
		}
		return refusedKey(ep, key, knownKey{seen, "an earlier connection of this run"}.describe())
	}
	if h.policy == HostKeyStrict {
		return refusedKey(ep, key)
	}
	return nil
}

func refusedKey(ep *Endpoint, key ssh.PublicKey, known ...KnownHostKey) *HostKeyError {
	plain := plainKey(key)
	return &HostKeyError{
		Address: ep.Address(), Known: known,
		Fingerprint: ssh.FingerprintSHA256(plain), Type: plain.Type(), Key: authorizedKey(plain),
	}
}

// algorithms puts the types of the known keys first. Without that the server
// shows a key of a type it prefers itself, and a known host looks changed. The
// others stay in the list so that a real change is reported as one.
func (h *hostKeys) algorithms(ep *Endpoint) []string {
	var first []string
	if known := h.known(ep); known.set() {
		if known.key != nil {
			first = algorithmsFor(known.key.Type())
		}
	} else if first = ep.knownHosts.algorithms(ep.Address()); len(first) == 0 {
		if seen := h.seenAt(ep); seen != nil {
			first = algorithmsFor(seen.Type())
		}
	}
	for _, algo := range ssh.SupportedAlgorithms().HostKeys {
		// Host certificates only where a CA is known for the host: for
		// everything else the plain key is what is compared and pinned.
		if !slices.Contains(first, algo) && !strings.Contains(algo, "-cert-") {
			first = append(first, algo)
		}
	}
	return first
}

func algorithmsFor(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

func knownHostsName(address string) string { return knownhosts.Normalize(address) }

// nowhere stands for the remote address, which known_hosts need not know: the
// name is what counts, and through a bastion there is no address.
func nowhere() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }
