package sshdial

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
)

// CheckTarget reports what is wrong with an SSH address of the form HOST,
// HOST:PORT or USER@HOST:PORT, and spells one that is right in the one way that
// others of the same meaning are spelled: without the user, names in lower case.
func CheckTarget(s string) (canonical string, err error) {
	if err := checkWritten(s); err != nil {
		return "", err
	}
	t, err := parseTarget(s)
	if err != nil {
		return "", err
	}
	if emptyLabel(t.host) {
		return "", fmt.Errorf("%q is no SSH address: the name has an empty part between its dots", s)
	}
	if t.user != "" {
		if err := CheckUser(t.user); err != nil {
			return "", err
		}
	}
	return target{host: canonicalHost(t.host), port: t.port}.String(), nil
}

// CheckHost reports what is wrong with a host name or address that stands alone,
// beside a user and a port of its own, and how it is written instead.
func CheckHost(s string) error {
	if err := checkWritten(s); err != nil {
		return err
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if bare, found := strings.CutSuffix(inner, "]"); found {
			if _, err := netip.ParseAddr(bare); err == nil {
				return fmt.Errorf("%q has brackets, which only an address with a port needs: write %q", s, bare)
			}
		}
	}
	t, err := parseTarget(s)
	if err == nil {
		switch {
		case t.user != "" && t.port != 0:
			return fmt.Errorf("%q has a user and a port in it: write host = %q, user = %q and port = %d", s, t.host, t.user, t.port)
		case t.user != "":
			return fmt.Errorf("%q has a user in it: write host = %q and user = %q", s, t.host, t.user)
		case t.port != 0:
			return fmt.Errorf("%q has a port in it: write host = %q and port = %d", s, t.host, t.port)
		}
	} else if _, port, split := net.SplitHostPort(s); split == nil && port != "" {
		return fmt.Errorf("%q is not a host name or address: the port, if any, stands in port, and is 1–65535", s)
	}
	if err != nil || t.host != s || emptyLabel(s) {
		return fmt.Errorf("%q is not a host name or address", s)
	}
	return nil
}

// checkWritten finds what neither a host nor a target may have.
func checkWritten(s string) error {
	trimmed := strings.TrimSpace(s)
	switch scheme, rest, isURL := strings.Cut(trimmed, "://"); {
	case trimmed == "":
		return errors.New("it is empty: write a host name or an address, or leave it out")
	case isURL:
		return fmt.Errorf("%q is a URL: write the host without %s://, as in %q", s, scheme, strings.TrimSuffix(rest, "/"))
	case trimmed != s:
		return fmt.Errorf("%q begins or ends with a blank or a line break: write %q", s, trimmed)
	}
	return nil
}

func emptyLabel(host string) bool {
	return strings.HasPrefix(host, ".") || strings.Contains(host, "..")
}

// CheckUser reports what is wrong with the name of an SSH user.
func CheckUser(s string) error {
	trimmed := strings.TrimSpace(s)
	switch {
	case trimmed == "":
		return errors.New("the user is empty: write a user name, or leave it out")
	case trimmed != s:
		return fmt.Errorf("the user %q begins or ends with a blank or a line break: write %q", s, trimmed)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return fmt.Errorf("the user %q has a blank or a line break in it, which no user name has", s)
	}
	return nil
}

// CheckHostKey reports what is wrong with a public host key.
func CheckHostKey(s string) error {
	if strings.Contains(s, "PRIVATE KEY") {
		return errors.New("it is a private key: it must be the public one of the host, TYPE BASE64, as in ssh-ed25519 AAAA…")
	}
	if _, err := parseHostKey(s); err != nil {
		return errors.New("it must be a public key as in authorized_keys: TYPE BASE64, for example ssh-ed25519 AAAA…, as in the host's /etc/ssh/ssh_host_ed25519_key.pub")
	}
	return nil
}

// TargetAddress is the address in an SSH address that names no host by name.
func TargetAddress(s string) (netip.Addr, bool) {
	t, err := parseTarget(s)
	if err != nil {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(t.host)
	return a, err == nil
}
