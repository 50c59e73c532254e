package meshclient_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
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

func fingerprint(t *testing.T, key string) string {
	t.Helper()
	k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(k)
}

func TestHostKeyChanges(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	c := newClient(t, f.ClientConfig())
	ctx := deadline(t)
	first := n.HostKey
	if c.HostKey(n.Addr()) != "" || c.HostKeys()[n.Addr()] != "" {
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

func TestAgentDown(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	n.SetRunning(false)
	err := ask(t, f.ClientConfig())
	if _, ok := errors.AsType[*agentapi.AgentDownError](err); !ok {
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
