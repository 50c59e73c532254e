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
	// configured tells that the provider's block has it.
	configured bool
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
		return nil, errors.New("it is not a valid public key: want TYPE BASE64, as in the host's /etc/ssh/ssh_host_ed25519_key.pub")
	}
	return key, nil
}

// hostKeys decides which host keys are accepted, and remembers them. A key that
// known_hosts revokes is refused whatever else is known of the host. Else the first of
// these that knows the host decides, alone:
//
//  1. the configuration: host_key of the provider's block, or of its bastion
//  2. known_hosts: the user's and the machine's
//  3. the record of the cluster, then the Terraform state (PinHostKey, Repin)
//  4. what this process has seen first, under every policy but HostKeyStrict
//
// So neither the record, which any node might forge, nor an old state overrides what
// the person who runs Terraform has written down.
type hostKeys struct {
	policy HostKeyPolicy
	mu     sync.Mutex
	pinned map[string]knownKey // by address
	seen   map[string]seenKey  // by route
	// held, by address, are not met at first sight (see Pool.HoldToKnown) unless they
	// were forgotten.
	held, forgotten map[string]bool
}

// seenKey is a key that was accepted, and how sure that was.
type seenKey struct {
	key   ssh.PublicKey
	known bool // before this process saw it
}

func newHostKeys(policy HostKeyPolicy) *hostKeys {
	return &hostKeys{policy: policy, pinned: map[string]knownKey{}, seen: map[string]seenKey{}, held: map[string]bool{}, forgotten: map[string]bool{}}
}

func (h *hostKeys) pin(address, text, source string) {
	key, _ := parseHostKey(text)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pinned[address] = knownKey{key: key, source: source}
}

// forget drops the keys that were pinned for or seen at ep's address. The next one is
// met at first sight, wherever others are held to what is known.
func (h *hostKeys) forget(ep *Endpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgotten[ep.Address()] = true
	delete(h.pinned, ep.Address())
	delete(h.seen, ep.Route())
}

// get returns the key seen at or pinned for the address.
func (h *hostKeys) get(address string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.seen[address].key; k != nil {
		return authorizedKey(k)
	}
	for _, route := range slices.Sorted(maps.Keys(h.seen)) {
		if strings.HasPrefix(route, address+" via ") {
			return authorizedKey(h.seen[route].key)
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
	return h.seen[ep.Route()].key
}

// weak returns the key that the record or the state has of ep, which counts where
// neither the configuration nor known_hosts knows one.
func (h *hostKeys) weak(ep *Endpoint) knownKey {
	if ep.hostKey.set() && !ep.hostKey.configured {
		return ep.hostKey
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pinned[ep.Address()]
}

// accept is called with the key that the host shows, before any login.
func (h *hostKeys) accept(ep *Endpoint, key ssh.PublicKey) error {
	known, err := h.check(ep, key)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[ep.Route()] = seenKey{plainKey(key), known || h.seen[ep.Route()].known}
	return nil
}

// trusted says that the host's key was known before this process saw it, or that the
// configuration does without: what is secret may be sent there.
func (h *hostKeys) trusted(ep *Endpoint) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.policy == HostKeyInsecure || h.seen[ep.Route()].known
}

// recheck says whether a connection that is already open would still be
// accepted: a key may have been pinned since, or ep may be stricter.
func (h *hostKeys) recheck(ep *Endpoint, key ssh.PublicKey) error {
	_, err := h.check(ep, key)
	return err
}

// check returns whether the key is known to be the host's, and an error when another
// one is, or when it must be known.
func (h *hostKeys) check(ep *Endpoint, key ssh.PublicKey) (known bool, err error) {
	if revoked := ep.knownHosts.revoked(ep.Address(), key); revoked != nil {
		refused := refusedKey(ep, key, *revoked)
		refused.Revoked = true
		return false, refused
	}
	switch {
	case h.policy == HostKeyInsecure:
		return false, nil
	case ep.hostKey.configured:
		return only(ep, key, ep.hostKey)
	}
	if others, err := ep.knownHosts.check(ep.Address(), key); err == nil && ep.knownHosts != nil {
		return true, nil
	} else if len(others) > 0 {
		return false, refusedKey(ep, key, others...)
	}
	if weak := h.weak(ep); weak.set() {
		return only(ep, key, weak)
	}
	if seen := h.seenAt(ep); seen != nil && !sameKey(seen, plainKey(key)) {
		return false, refusedKey(ep, key, knownKey{key: seen, source: "an earlier connection of this run"}.describe())
	} else if seen == nil {
		return false, h.firstSight(ep, key)
	}
	return false, nil
}

func (h *hostKeys) firstSight(ep *Endpoint, key ssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.held[ep.Address()] && !h.forgotten[ep.Address()]
	if !held && h.policy != HostKeyStrict {
		return nil
	}
	refused := refusedKey(ep, key)
	refused.Held = held && h.policy != HostKeyStrict
	return refused
}

// only accepts the one key.
func only(ep *Endpoint, key ssh.PublicKey, known knownKey) (bool, error) {
	if !known.is(plainKey(key)) {
		return false, refusedKey(ep, key, known.describe())
	}
	return true, nil
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
	known := ep.hostKey
	if !known.configured {
		first, known = ep.knownHosts.algorithms(ep.Address()), h.weak(ep)
	}
	if len(first) == 0 && known.key != nil {
		first = algorithmsFor(known.key.Type())
	}
	if seen := h.seenAt(ep); len(first) == 0 && seen != nil {
		first = algorithmsFor(seen.Type())
	}
	for _, algo := range ssh.SupportedAlgorithms().HostKeys {
		// Host certificates only where a CA is known for the host: for
		// everything else the plain key is what is compared and pinned.
		if !slices.Contains(first, algo) && !isCertificate(algo) {
			first = append(first, algo)
		}
	}
	return first
}

func isCertificate(algo string) bool { return strings.Contains(algo, "-cert-") }

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
