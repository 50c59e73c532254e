package sshdial_test

import (
	"crypto/rand"
	"crypto/rsa"
	"os"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

func parse(t *testing.T, key string) ssh.PublicKey {
	t.Helper()
	k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func fingerprint(t *testing.T, key string) string { return ssh.FingerprintSHA256(parse(t, key)) }

// write makes a known_hosts file the only one of the configuration.
func write(t *testing.T, cfg *sshdial.Config, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.KnownHosts = []string{path}
}

func knows(t *testing.T, cfg *sshdial.Config, path, address, key string) {
	t.Helper()
	write(t, cfg, path, knownhosts.Line([]string{address}, parse(t, key)))
}

func rsaSigner(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// certify signs cert and returns the holder's signer for it.
func certify(t *testing.T, cert *ssh.Certificate, holder, authority ssh.Signer) ssh.Signer {
	t.Helper()
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(cert, holder)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
