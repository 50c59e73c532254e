package sshdial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

const fuzzKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO3G9nNzjcVQSBdCHBnVmyHSJLs3bDmLBR8ibHbsKjHI"

// FuzzKnownHosts: a file of any content is read, and the key that one line has for a host
// is still known for it.
func FuzzKnownHosts(f *testing.F) {
	for _, s := range []string{
		"h " + fuzzKey, "@revoked * " + fuzzKey, "@cert-authority *.x,!y " + fuzzKey, "|1|a|b " + fuzzKey, "# c\n\n[h]:22 " + fuzzKey, "h ssh-rsa AAAA", "*", "@", "!h " + fuzzKey,
	} {
		f.Add([]byte(s))
	}
	key, err := parseHostKey(fuzzKey)
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "known_hosts")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, append(append([]byte{}, data...), "\nlast.example "+fuzzKey+"\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := readKnownHosts([]string{path})
		if err != nil {
			t.Fatalf("a file with bad lines is refused whole: %v", err)
		}
		_, _ = k.check("h:22", key)
		_ = k.revoked("h:22", key)
		_ = k.algorithms("h:22")
		_ = k.authorities("h:22")
		if !k.knows("last.example:22") {
			t.Error("a line after others is not read")
		}
	})
}

// FuzzOwn: settings of a node, which a record of others may have, make an endpoint that is
// whole, or are refused.
func FuzzOwn(f *testing.F) {
	f.Add("h", "u", "b", "j", fuzzKey)
	f.Add("[::1]", "", "h:22", "", "ssh-rsa")
	r, err := newRouter(Config{KnownHosts: []string{}}, surroundings{home: "/none", getenv: func(string) string { return "" }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host, user, bastion, bastionUser, key string) {
		ep, err := r.Own(OwnSettings{Name: "n1", Host: host, User: user, BastionHost: bastion, BastionUser: bastionUser, HostKey: key, HostKeySource: "the record"})
		if err != nil {
			return
		}
		if ep.Host == "" || ep.User == "" || ep.Port == 0 {
			t.Errorf("%+v", ep)
		}
		if key != "" && !ep.hostKey.set() {
			t.Error("a key that is named is not held to")
		}
	})
}

// FuzzChain: a ProxyJump of any text.
func FuzzChain(f *testing.F) {
	for _, s := range []string{"a,b@c:22,[::1]:9, ssh://h", "none", ",", "a,,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hops, err := splitChain(s)
		for _, h := range hops {
			if err == nil && h.host == "" {
				t.Errorf("%q has a hop without a host", s)
			}
		}
	})
}

// FuzzRefusal: whatever a login, sudo or doas prints, its words are plain, and quoted as
// the refusal of the right one.
func FuzzRefusal(f *testing.F) {
	f.Add("Welcome\n", "sudo: a password is required\n", true)
	f.Add("\x1b]0;x\x07This account is not available.\n", "", false)
	f.Add(loginMark+"\n", rootMark+"\n", true)
	f.Fuzz(func(t *testing.T, noise, stderr string, reached bool) {
		if reached {
			stderr = loginMark + "\n" + stderr
		}
		c := &Conn{ep: &Endpoint{Host: "h", Port: 22, User: "u"}}
		err := c.refusal(noise, stderr, "exit status 1")
		if _, sudo := err.(*SudoError); sudo != strings.Contains(noise+stderr, loginMark+"\n") { //nolint:errorlint // it is not wrapped
			t.Errorf("%T for %q, %q", err, noise, stderr)
		}
		if text := err.Error(); plain.Text(text) != text || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
			t.Errorf("%q", text)
		}
	})
}
