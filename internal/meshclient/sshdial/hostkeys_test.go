package sshdial_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

func TestHostKeyPolicy(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	_, other := meshtest.NewKey(t)
	otherKey := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(other.PublicKey())))
	known := filepath.Join(t.TempDir(), "known_hosts")
	for name, c := range map[string]struct {
		change func(*sshdial.Config)
		want   []string // in the error; none: it connects
	}{
		"unknown":                   {},
		"unknown, accept-new":       {change: func(c *sshdial.Config) { c.HostKeyPolicy = "accept-new" }},
		"unknown, insecure":         {change: func(c *sshdial.Config) { c.HostKeyPolicy = "insecure" }},
		"unknown, strict":           {func(c *sshdial.Config) { c.HostKeyPolicy = "strict" }, []string{"not a known host", "strict", fingerprint(t, n.HostKey), "host_key = \"ssh-ed25519 ", "known_hosts"}},
		"host_key":                  {change: func(c *sshdial.Config) { c.HostKey, c.HostKeyPolicy = n.HostKey, "strict" }},
		"another host_key":          {func(c *sshdial.Config) { c.HostKey = otherKey }, []string{fingerprint(t, n.HostKey), fingerprint(t, otherKey), "host_key of the provider's ssh"}},
		"another host_key accept":   {func(c *sshdial.Config) { c.HostKey, c.HostKeyPolicy = otherKey, "accept-new" }, []string{"another host key"}},
		"another host_key insecure": {change: func(c *sshdial.Config) { c.HostKey, c.HostKeyPolicy = otherKey, "insecure" }},
		"known_hosts": {change: func(c *sshdial.Config) {
			knows(t, c, known+"1", n.Addr(), n.HostKey)
			c.HostKeyPolicy = "strict"
		}},
		"known_hosts has another": {
			func(c *sshdial.Config) { knows(t, c, known+"2", n.Addr(), otherKey) },
			[]string{"another host key", fingerprint(t, n.HostKey), fingerprint(t, otherKey), "known_hosts " + known + "2:1"},
		},
		"known_hosts has it revoked": {
			func(c *sshdial.Config) { write(t, c, known+"3", "@revoked * "+n.HostKey) },
			[]string{"revoked by known_hosts " + known + "3:1"},
		},
		"revoked, insecure": {
			func(c *sshdial.Config) { write(t, c, known+"6", "@revoked * "+n.HostKey); c.HostKeyPolicy = "insecure" },
			[]string{"revoked by known_hosts " + known + "6:1"},
		},
		"a wildcard on another port than 22": {change: func(c *sshdial.Config) {
			write(t, c, known+"7", "127.0.0.* "+n.HostKey)
			c.HostKeyPolicy = "strict"
		}},
		"known_hosts with lines that cannot be read": {change: func(c *sshdial.Config) {
			write(t, c, known+"4", "nonsense\nhost ssh-future AAAA\n"+knownhosts.Line([]string{n.Addr()}, parse(t, n.HostKey)))
			c.HostKeyPolicy = "strict"
		}},
		"an authority vouches for another kind of key": {change: func(c *sshdial.Config) { write(t, c, known+"5", "@cert-authority * "+otherKey) }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := f.ClientConfig().SSH
			if c.change != nil {
				c.change(&cfg)
			}
			before := n.Connections()
			err := ask(t, n, cfg)
			if c.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if _, ok := errors.AsType[*sshdial.HostKeyError](err); !ok {
				t.Fatalf("got %v", err)
			}
			wantText(t, err, c.want...)
			if n.Connections() != before {
				t.Error("it logged in all the same")
			}
		})
	}
}

// Thousands of lines with one that cannot be read cost no file each.
func TestKnownHosts_Large(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	cfg := f.ClientConfig().SSH
	_, other := meshtest.NewKey(t)
	line := "host.example " + string(ssh.MarshalAuthorizedKey(other.PublicKey()))
	write(t, &cfg, filepath.Join(t.TempDir(), "known_hosts"), strings.Repeat(line, 3000)+"host ssh-future AAAA\n"+
		knownhosts.Line([]string{n.Addr()}, parse(t, n.HostKey)))
	cfg.HostKeyPolicy = "strict"
	start := time.Now()
	if err := ask(t, n, cfg); err != nil {
		t.Error(err)
	}
	t.Log(time.Since(start))
}

// A server shows the kind of key that the client prefers; what is known must
// be preferred, or a known host looks changed.
func TestKnownKeyOfAnotherType(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	_, ed := meshtest.NewKey(t)
	rsa := rsaSigner(t)
	n.SetHostKeys(ed, rsa)
	rsaKey := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(rsa.PublicKey())))
	for _, key := range []string{n.HostKey, rsaKey} {
		cfg := f.ClientConfig().SSH
		knows(t, &cfg, filepath.Join(t.TempDir(), "known_hosts"), n.Addr(), key)
		cfg.HostKeyPolicy = "strict"
		if err := ask(t, n, cfg); err != nil {
			t.Errorf("known_hosts has %.20s: %v", key, err)
		}
		cfg = f.ClientConfig().SSH
		cfg.HostKey = key
		if err := ask(t, n, cfg); err != nil {
			t.Errorf("host_key is %.20s: %v", key, err)
		}
		pool, ep := prepare(t, n, f.ClientConfig().SSH)
		pool.PinHostKey(n.Addr(), key, "a test")
		if err := call(t, pool, ep); err != nil {
			t.Errorf("pinned is %.20s: %v", key, err)
		}
	}
}

func TestHostCertificate(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	_, authority := meshtest.NewKey(t)
	_, host := meshtest.NewKey(t)
	cert := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
	signer := certify(t, cert, host, authority)
	n.SetHostKeys(signer, host)
	cfg := f.ClientConfig().SSH
	write(t, &cfg, filepath.Join(t.TempDir(), "known_hosts"), fmt.Sprintf("@cert-authority %s %s",
		knownhosts.Normalize(n.Addr()), ssh.MarshalAuthorizedKey(authority.PublicKey())))
	cfg.HostKeyPolicy = "strict"
	if err := ask(t, n, cfg); err != nil {
		t.Error(err)
	}
}
