package meshclient_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// ask takes a snapshot with a fresh client and returns what it had against the
// fleet's first host.
func ask(t *testing.T, cfg meshclient.Config) error {
	t.Helper()
	snap, err := newClient(t, cfg).Snapshot(deadline(t))
	if err != nil {
		return err
	}
	return snap.Hosts[cfg.Hosts[0]].Err
}

func installed(t *testing.T) (*meshtest.Fleet, *meshtest.Node) {
	f := meshtest.New(t, "n1")
	f.Node("n1").SetInstalled(true)
	return f, f.Node("n1")
}

func TestHostKeyPolicy(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	_, other := meshtest.NewKey(t)
	otherKey := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(other.PublicKey())))
	known := filepath.Join(t.TempDir(), "known_hosts")
	for name, c := range map[string]struct {
		change func(*meshclient.Config)
		want   []string // in the error; none: it connects
	}{
		"unknown":                   {},
		"unknown, accept-new":       {change: func(c *meshclient.Config) { c.SSH.HostKeyPolicy = "accept-new" }},
		"unknown, insecure":         {change: func(c *meshclient.Config) { c.SSH.HostKeyPolicy = "insecure" }},
		"unknown, strict":           {func(c *meshclient.Config) { c.SSH.HostKeyPolicy = "strict" }, []string{"not a known host", "strict", fingerprint(t, n.HostKey), "host_key = \"ssh-ed25519 ", "known_hosts"}},
		"host_key":                  {change: func(c *meshclient.Config) { c.SSH.HostKey, c.SSH.HostKeyPolicy = n.HostKey, "strict" }},
		"another host_key":          {func(c *meshclient.Config) { c.SSH.HostKey = otherKey }, []string{fingerprint(t, n.HostKey), fingerprint(t, otherKey), "host_key of the provider's ssh"}},
		"another host_key accept":   {func(c *meshclient.Config) { c.SSH.HostKey, c.SSH.HostKeyPolicy = otherKey, "accept-new" }, []string{"another host key"}},
		"another host_key insecure": {change: func(c *meshclient.Config) { c.SSH.HostKey, c.SSH.HostKeyPolicy = otherKey, "insecure" }},
		"known_hosts": {change: func(c *meshclient.Config) {
			knows(t, c, known+"1", n.Addr(), n.HostKey)
			c.SSH.HostKeyPolicy = "strict"
		}},
		"known_hosts has another": {
			func(c *meshclient.Config) { knows(t, c, known+"2", n.Addr(), otherKey) },
			[]string{"another host key", fingerprint(t, n.HostKey), fingerprint(t, otherKey), "known_hosts " + known + "2:1"},
		},
		"known_hosts has it revoked": {
			func(c *meshclient.Config) { write(t, c, known+"3", "@revoked * "+n.HostKey) },
			[]string{"revoked by known_hosts " + known + "3:1"},
		},
		"known_hosts with lines that cannot be read": {change: func(c *meshclient.Config) {
			write(t, c, known+"4", "nonsense\nhost ssh-future AAAA\n"+knownhosts.Line([]string{n.Addr()}, parse(t, n.HostKey)))
			c.SSH.HostKeyPolicy = "strict"
		}},
		"an authority vouches for another kind of key": {change: func(c *meshclient.Config) { write(t, c, known+"5", "@cert-authority * "+otherKey) }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := f.ClientConfig()
			if c.change != nil {
				c.change(&cfg)
			}
			before := n.Connections()
			err := ask(t, cfg)
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

func TestHostKeyChanges(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	c := newClient(t, f.ClientConfig())
	ctx := deadline(t)
	first := n.HostKey
	if c.HostKey(n.Addr()) != "" || len(c.HostKeys()) != 0 {
		t.Error("a key is known before anyone connected")
	}
	if _, err := c.Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
	if c.HostKey(n.Addr()) != first || c.HostKeys()[n.Addr()] != first {
		t.Errorf("the key seen is %q", c.HostKey(n.Addr()))
	}
	// Accepted once, held to it for the rest of the process.
	_, other := meshtest.NewKey(t)
	n.SetHostKeys(other)
	n.Cut()
	eventually(t, "a new connection is refused", func() bool {
		_, err := newestStatus(c, t)
		_, ok := errors.AsType[*sshdial.HostKeyError](err)
		return ok
	})
	// What the Terraform state has pinned ends a connection that is open.
	c = newClient(t, f.ClientConfig())
	if _, err := c.Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
	c.PinHostKey(n.Addr(), first)
	_, err := newestStatus(c, t)
	wantText(t, err, fingerprint(t, first), fingerprint(t, n.HostKey), "the Terraform state", "reinstalled")
	c = newClient(t, f.ClientConfig())
	c.PinHostKey(n.Addr(), "garbage")
	_, err = c.Snapshot(ctx)
	wantText(t, err, "unreadable", "the Terraform state")
}

// newestStatus asks past the snapshot that is kept.
func newestStatus(c *meshclient.Client, t *testing.T) (*meshclient.Snapshot, error) {
	c.DropSnapshot()
	return c.Snapshot(deadline(t))
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
		cfg := f.ClientConfig()
		knows(t, &cfg, filepath.Join(t.TempDir(), "known_hosts"), n.Addr(), key)
		cfg.SSH.HostKeyPolicy = "strict"
		if err := ask(t, cfg); err != nil {
			t.Errorf("known_hosts has %.20s: %v", key, err)
		}
		cfg = f.ClientConfig()
		cfg.SSH.HostKey = key
		if err := ask(t, cfg); err != nil {
			t.Errorf("host_key is %.20s: %v", key, err)
		}
		c := newClient(t, f.ClientConfig())
		c.PinHostKey(n.Addr(), key)
		if _, err := c.Snapshot(deadline(t)); err != nil {
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
	cfg := f.ClientConfig()
	write(t, &cfg, filepath.Join(t.TempDir(), "known_hosts"), fmt.Sprintf("@cert-authority %s %s",
		knownhosts.Normalize(n.Addr()), ssh.MarshalAuthorizedKey(authority.PublicKey())))
	cfg.SSH.HostKeyPolicy = "strict"
	if err := ask(t, cfg); err != nil {
		t.Error(err)
	}
}

func TestSudo(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	cfg := f.ClientConfig()
	cfg.SSH.User = "deploy"
	if err := ask(t, cfg); err != nil || n.CountCommands("sudo -n") != 1 || len(n.Commands()) != 1 {
		t.Errorf("%v, %q", err, n.Commands())
	}
	// The words are the host's, in any language and of any program.
	for _, says := range []string{
		"sudo: a password is required", "sudo: Ein Passwort ist notwendig", "sudo-rs: interactive authentication is required",
		"doas: Operation not permitted", "I'm sorry deploy. I'm afraid I can't do that", "neither sudo nor doas is installed",
	} {
		n.SetLogin(meshtest.Login{SudoRefused: says})
		err := ask(t, cfg)
		if _, ok := errors.AsType[*sshdial.SudoError](err); !ok {
			t.Errorf("%q is understood as %v", says, err)
			continue
		}
		wantText(t, err, "deploy", "NOPASSWD", "permit nopass", says)
	}
	n.SetLogin(meshtest.Login{})
	n.SetInstalled(false)
	if _, ok := errors.AsType[*meshclient.NoAgentError](ask(t, cfg)); !ok {
		t.Error("a missing agent is taken for a failure of sudo")
	}
	no := false
	cfg.SSH.Sudo = &no
	err := ask(t, cfg)
	wantText(t, err, "permission denied")
}

func TestAgentDown(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	n.SetRunning(false)
	err := ask(t, f.ClientConfig())
	if _, ok := errors.AsType[*meshclient.AgentDownError](err); !ok {
		t.Fatalf("got %v", err)
	}
	wantText(t, err, "systemctl status routingmesh-agent", n.Addr())
}

func TestBastion(t *testing.T) {
	t.Parallel()
	for name, through := range map[string]func(*sshdial.Config, *meshtest.Node, *meshtest.Node){
		"bastion": func(s *sshdial.Config, gate, _ *meshtest.Node) {
			s.Bastion = sshdial.BastionConfig{Host: "127.0.0.1", Port: gate.Port(), User: "jump", HostKey: gate.HostKey}
		},
		"proxy_jump": func(s *sshdial.Config, gate, outer *meshtest.Node) {
			s.ProxyJump = fmt.Sprintf("a@%s, b@%s", outer.Addr(), gate.Addr())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := cluster(t, three)
			gate, outer := f.Add("gate"), f.Add("outer")
			cfg := f.ClientConfig(three...)
			through(&cfg.SSH, gate, outer)
			c := newClient(t, cfg)
			must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
			if gate.Connections() != 1 || gate.Forwards() != 3 {
				t.Errorf("the bastion had %d connections and %d forwards, want 1 and 3", gate.Connections(), gate.Forwards())
			}
			if want := map[string]int{"bastion": 0, "proxy_jump": 1}[name]; outer.Connections() != want || outer.Forwards() != want {
				t.Errorf("the outer host had %d connections and %d forwards", outer.Connections(), outer.Forwards())
			}
			gate.SetLogin(meshtest.Login{NoKeys: true, Password: "other"})
			err := ask(t, cfg)
			auth, ok := errors.AsType[*sshdial.AuthError](err)
			if !ok || auth.Address != gate.Addr() {
				t.Errorf("the bastion refuses: %v", err)
			}
		})
	}
}

// A node of the record may have a bastion of its own.
func TestNodeWithItsOwnBastion(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, []string{"n1"})
	gate, inner := f.Add("gate"), f.Add("inner")
	n := inner.MeshNode()
	n.SSH.BastionHost, n.SSH.BastionPort, n.SSH.BastionUser = "127.0.0.1", gate.Port(), "jump"
	must(t)(c.PutNode(deadline(t), "demo", n, true))
	must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
	if gate.Forwards() != 1 || inner.Connections() != 1 {
		t.Errorf("%d forwards, %d logins", gate.Forwards(), inner.Connections())
	}
	gate.SetDown(true)
	cfg := f.ClientConfig("n1")
	cfg.SSH.Timeout = tired
	snap, err := newClient(t, cfg).Snapshot(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, snap.Nodes["inner"].Err, "through bastion", gate.Addr())
	if snap.Nodes["n1"].Status.Generation != inner.Record().Generation || snap.Record.Nodes["inner"].SSH.HostKey != inner.HostKey {
		t.Error("the host key of the node behind the bastion is not in the record")
	}
}
