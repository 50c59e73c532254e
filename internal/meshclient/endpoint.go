package meshclient

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// endpoint is one SSH server and how to log in to it. Endpoints with the same
// key share a connection.
type endpoint struct {
	name       string // as configured, for messages
	user, host string
	port       uint16
	via        *endpoint // the bastion, nil for a direct connection
	login      *login
	sudo       bool
	hostKey    knownKey    // the only one it may show, where set
	knownHosts *knownHosts // nil: none
}

func (e *endpoint) address() string { return net.JoinHostPort(e.host, strconv.Itoa(int(e.port))) }

// route is where the bytes go, whoever logs in.
func (e *endpoint) route() string {
	if e.via == nil {
		return e.address()
	}
	return e.address() + " via " + e.via.route()
}

func (e *endpoint) key() string {
	k := e.user + "@" + e.address()
	if e.via != nil {
		k += " via " + e.via.key()
	}
	return k
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
