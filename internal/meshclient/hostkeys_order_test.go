package meshclient_test

import (
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// knownHosts is a known_hosts file with one line.
func knownHosts(t *testing.T, marker, address, key string) []string {
	t.Helper()
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(marker+knownhosts.Line([]string{address}, parsed)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{file}
}

// The record has an impostor's key for n2, as a node that is taken over could write it.
// known_hosts has n2's own: the impostor is refused.
func TestHostKeys_KnownHostsBeforeTheRecord(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1", "n2"}, "n1")
	n2 := f.Node("n2")
	cfg := f.ClientConfig("n1")
	cfg.SSH.HostKey = ""
	cfg.SSH.KnownHosts = knownHosts(t, "", n2.Addr(), n2.HostKey)
	n2.Rebuild()
	forged := f.Node("n1").Record().Clone()
	forged.Nodes["n2"].SSH.HostKey = n2.HostKey
	f.Node("n1").SetRecord(forged, "n1")
	snap, err := newClient(t, cfg).Snapshot(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	refused, ok := errors.AsType[*sshdial.HostKeyError](snap.Nodes["n2"].Err)
	if !ok || refused.Address != n2.Addr() {
		t.Errorf("n2: %v", snap.Nodes["n2"].Err)
	}
}

// A key that known_hosts revokes is refused though the record and the configuration have it.
func TestHostKeys_RevokedWhateverElseKnowsIt(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1", "n2"}, "n1")
	for name, revoked := range map[string]string{"of the record": "n2", "of the configuration": "n1"} {
		n := f.Node(revoked)
		cfg := f.ClientConfig("n1")
		cfg.SSH.HostKey = f.Node("n1").HostKey
		cfg.SSH.KnownHosts = knownHosts(t, "@revoked ", "*", n.HostKey)
		c := newClient(t, cfg)
		snap, err := c.Snapshot(deadline(t))
		if err == nil {
			err = snap.Nodes[revoked].Err
		}
		if refused, ok := errors.AsType[*sshdial.HostKeyError](err); !ok || !refused.Revoked {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The provider's bastion password goes to the provider's bastion: not to one that the
// record names for a node, nor to the right address with a key that nobody knows.
func TestHostKeys_BastionPassword(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1", "n2"}, "n1")
	gate := f.Add("gate")
	shown := 0
	gate.SetLogin(meshtest.Login{NoKeys: true, Password: "the bastion's", Tried: func() { shown++ }})
	forged := f.Node("n1").Record().Clone()
	ssh := &forged.Nodes["n2"].SSH
	ssh.BastionHost, ssh.BastionPort = "localhost", gate.Port()
	f.Node("n1").SetRecord(forged, "n1")
	cfg := f.ClientConfig("n1")
	cfg.SSH.Bastion.Password = "the bastion's"
	snap, err := newClient(t, cfg).Snapshot(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, snap.Nodes["n2"].Err, "password: it is for the bastion that the provider's ssh names")

	cfg.SSH.Bastion.Host, cfg.SSH.Bastion.Port = "127.0.0.1", gate.Port()
	_, err = newClient(t, cfg).Snapshot(deadline(t))
	wantText(t, err, "a password is sent to known hosts only")
	if shown != 0 {
		t.Errorf("%d passwords were shown", shown)
	}
	cfg.SSH.Bastion.HostKey = gate.HostKey
	if _, err = newClient(t, cfg).Snapshot(deadline(t)); err != nil || shown != 1 {
		t.Errorf("%v, %d passwords", err, shown)
	}
}

// A bastion that was met at first sight is pinned as the hosts are.
func TestHostKeys_BastionIsPinned(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1"})
	gate := f.Add("gate")
	cfg := f.ClientConfig("n1")
	cfg.SSH.Bastion = sshdial.BastionConfig{Host: "127.0.0.1", Port: gate.Port()}
	c := newClient(t, cfg)
	if _, err := c.Snapshot(deadline(t)); err != nil {
		t.Fatal(err)
	}
	keys := c.HostKeys()
	if want := map[string]string{f.Node("n1").Addr(): f.Node("n1").HostKey, gate.Addr(): gate.HostKey}; !maps.Equal(keys, want) {
		t.Errorf("%v, want %v", keys, want)
	}
	_, other := meshtest.NewKey(t)
	gate.SetHostKeys(other)
	next := newClient(t, cfg)
	for address, key := range keys {
		next.PinHostKey(address, key)
	}
	_, err := next.Snapshot(deadline(t))
	wantText(t, err, "another host key", gate.Addr())
}

// Where an authority is known, its certificates count, not the key that was pinned at the join.
func TestHostKeys_RotationUnderAnAuthority(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, "n1")
	_, authority := meshtest.NewKey(t)
	certified := func() ssh.Signer {
		_, host := meshtest.NewKey(t)
		cert := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
		if err := cert.SignCert(rand.Reader, authority); err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewCertSigner(cert, host)
		if err != nil {
			t.Fatal(err)
		}
		return signer
	}
	n1 := f.Node("n1")
	n1.SetHostKeys(certified())
	cfg := f.ClientConfig("n1")
	cfg.SSH.KnownHosts = knownHosts(t, "@cert-authority ", "*", string(ssh.MarshalAuthorizedKey(authority.PublicKey())))
	c := newClient(t, cfg)
	must(t)(c.CreateCluster(deadline(t), demo()))
	must(t)(c.PutNode(deadline(t), "demo", n1.MeshNode(), true))
	before := f.Node("n1").Record().Nodes["n1"].SSH.HostKey
	n1.SetHostKeys(certified())
	next := newClient(t, cfg)
	next.PinHostKey(n1.Addr(), before)
	if _, err := next.Snapshot(deadline(t)); err != nil {
		t.Error(err)
	}
}
