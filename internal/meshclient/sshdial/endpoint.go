package sshdial

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Endpoint is one SSH server and how to log in to it. Endpoints with the same
// key share a connection. A Router makes them; they are not changed.
type Endpoint struct {
	Name       string // as configured, for messages
	User, Host string
	Port       uint16
	Via        *Endpoint // the bastion, nil for a direct connection
	Sudo       bool      // commands become root by sudo or doas
	login      *login
	hostKey    knownKey    // the only one it may show, where set
	knownHosts *knownHosts // nil: none
}

// Unroutable stands in messages for a host that there is no way to: it has the
// default port, and must not be dialled.
func Unroutable(name, host string) *Endpoint {
	return &Endpoint{Name: name, Host: host, Port: defaultPort}
}

// Address is "host:port".
func (e *Endpoint) Address() string { return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) }

// CanonicalAddress is Address, spelled the same for addresses that mean the same.
func (e *Endpoint) CanonicalAddress() string {
	return net.JoinHostPort(canonicalHost(e.Host), strconv.Itoa(int(e.Port)))
}

// Route is where the bytes go, whatever the login.
func (e *Endpoint) Route() string {
	if e.Via == nil {
		return e.Address()
	}
	return e.Address() + " via " + e.Via.Route()
}

// Key names the login and its way: "user@host:port via …".
func (e *Endpoint) Key() string {
	k := e.User + "@" + e.Address()
	if e.Via != nil {
		k += " via " + e.Via.Key()
	}
	return k
}

// canonicalHost spells a name or address as others of the same meaning are
// spelled: names are equal in any case and with a dot at their end.
func canonicalHost(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// CanonicalRoute is the same for endpoints whose routes mean the same.
func (e *Endpoint) CanonicalRoute() string {
	if e == nil {
		return ""
	}
	return fmt.Sprintf("%s port %d via %s", canonicalHost(e.Host), e.Port, e.Via.CanonicalRoute())
}

// target is an SSH address as a person writes it; what is left out is zero.
type target struct {
	user, host string
	port       uint16
}

func (t target) String() string {
	s := t.host
	switch {
	case t.port != 0:
		s = net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
	case strings.Contains(t.host, ":"):
		s = "[" + t.host + "]"
	}
	if t.user != "" {
		s = t.user + "@" + s
	}
	return s
}

// parseTarget reads "host", "host:port", "user@host:port", and IPv6 addresses
// bare or in brackets.
func parseTarget(s string) (target, error) {
	fail := func(why string) (target, error) {
		return target{}, fmt.Errorf("%q is no SSH address (%s): want HOST, HOST:PORT or USER@HOST:PORT, as in root@192.0.2.10:22", s, why)
	}
	var t target
	rest := s
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if t.user, rest = s[:i], s[i+1:]; t.user == "" {
			return fail("the user is empty")
		}
	}
	host, port, bad := splitPort(rest)
	if bad != "" {
		return fail(bad)
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fail("the port must be 1–65535")
		}
		t.port = uint16(n)
	}
	if t.host = host; !plainHost(host) || strings.ContainsFunc(t.user, notPrintable) {
		return fail("the host must be a name or an address")
	}
	return t, nil
}

func splitPort(s string) (host, port, bad string) {
	if inner, after, ok := strings.Cut(strings.TrimPrefix(s, "["), "]"); strings.HasPrefix(s, "[") {
		if !ok || (after != "" && (after[0] != ':' || len(after) == 1)) {
			return "", "", "the brackets do not fit"
		}
		if _, err := netip.ParseAddr(inner); err != nil {
			return "", "", "no IPv6 address in the brackets"
		}
		return inner, strings.TrimPrefix(after, ":"), ""
	}
	switch strings.Count(s, ":") {
	case 0:
		return s, "", ""
	case 1:
		host, port, _ = strings.Cut(s, ":")
		if port == "" {
			return "", "", "the port is empty"
		}
		return host, port, ""
	}
	if _, err := netip.ParseAddr(s); err != nil {
		return "", "", "too many colons"
	}
	return s, "", ""
}

// plainHost accepts what can be dialled and stand in a known_hosts line.
func plainHost(host string) bool {
	return host != "" && host[0] != '-' && !strings.ContainsFunc(host, notPrintable) && !strings.ContainsAny(host, "/@,[]?*!|#\"'\\")
}

func notPrintable(r rune) bool { return r <= ' ' || r > '~' }

// or fills what t leaves open.
func (t target) or(user string, port uint16) target {
	t.user, t.port = cmp.Or(t.user, user), cmp.Or(t.port, port)
	return t
}

func splitChain(chain string) ([]target, error) {
	var hops []target
	for part := range strings.SplitSeq(chain, ",") {
		hop, err := parseTarget(strings.TrimPrefix(strings.TrimSpace(part), "ssh://"))
		if err != nil {
			return nil, err
		}
		hops = append(hops, hop)
	}
	return hops, nil
}
