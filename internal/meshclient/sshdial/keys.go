package sshdial

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ssh"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// identity is a key to log in with, and where it came from.
type identity struct {
	signer ssh.Signer
	source string // "private_key", "agent", a file's name
}

func (i identity) String() string {
	return fmt.Sprintf("publickey %s (%s)", ssh.FingerprintSHA256(plainKey(i.signer.PublicKey())), i.source)
}

func plainKey(k ssh.PublicKey) ssh.PublicKey {
	if cert, ok := k.(*ssh.Certificate); ok {
		return cert.Key
	}
	return k
}

// errEncrypted is a key for which there is no passphrase.
var errEncrypted = errors.New("the key is encrypted")

// parsePrivateKeys reads one or more concatenated PEM keys. Its errors never
// quote the input.
func parsePrivateKeys(content, passphrase, source string) ([]identity, error) {
	var ids []identity
	rest := unindented(content)
	for {
		// A key pasted into HCL often loses its last newline, without which
		// the PEM parser does not see the end.
		block, after := pem.Decode(append(bytes.TrimSpace(rest), '\n'))
		if block == nil {
			break
		}
		rest = after
		signer, err := parseBlock(block, passphrase)
		if err != nil {
			return nil, err
		}
		ids = append(ids, identity{signer, source})
	}
	if len(ids) == 0 {
		return nil, errors.New("there is no PEM private key in it")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("there is something after the last PEM key that is none (is the end cut off?)")
	}
	return ids, nil
}

// unindented takes off what an indented heredoc leaves before the lines.
func unindented(content string) []byte {
	lines := strings.Split(content, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return []byte(strings.Join(lines, "\n"))
}

func parseBlock(block *pem.Block, passphrase string) (ssh.Signer, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		return parseEncryptedPKCS8(block.Bytes, passphrase)
	}
	return parsePrivateKey(pem.EncodeToMemory(block), passphrase)
}

// errWrongPassphrase is a key that the passphrase does not open.
var errWrongPassphrase = errors.New("the passphrase does not open the key")

// parseEncryptedPKCS8 reads what openssl writes and x/crypto does not read.
func parseEncryptedPKCS8(der []byte, passphrase string) (ssh.Signer, error) {
	if passphrase == "" {
		return nil, errEncrypted
	}
	key, err := pkcs8.ParsePKCS8PrivateKey(der, []byte(passphrase))
	if err != nil {
		// The library's words for a wrong passphrase depend on what comes out.
		return nil, fmt.Errorf("%w, or its encryption is not known (%w)", errWrongPassphrase, err)
	}
	return ssh.NewSignerFromKey(key)
}

func parsePrivateKey(pemKey []byte, passphrase string) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(pemKey)
	if _, missing := errors.AsType[*ssh.PassphraseMissingError](err); !missing {
		return signer, err
	}
	if passphrase == "" {
		return nil, errEncrypted
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(pemKey, []byte(passphrase))
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errWrongPassphrase
	}
	return signer, err
}

// withCertificate puts the certificate, with the key it was made for, before
// the plain keys: a server that trusts the CA need not know the key.
func withCertificate(ids []identity, certificate string) ([]identity, error) {
	pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(certificate))
	if err != nil {
		return nil, errors.New("it is no OpenSSH certificate: want the content of a …-cert.pub file")
	}
	cert, ok := pub.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("it is a plain public key: want the content of a …-cert.pub file")
	}
	if cert.CertType != ssh.UserCert {
		return nil, errors.New("it is a host certificate: want a user certificate")
	}
	for _, id := range ids {
		if bytes.Equal(id.signer.PublicKey().Marshal(), cert.Key.Marshal()) {
			signer, err := ssh.NewCertSigner(cert, id.signer)
			if err != nil {
				return nil, err
			}
			return append([]identity{{signer, "certificate"}}, ids...), nil
		}
	}
	return nil, errors.New("it was made for a key that is not in private_key")
}

// privateKeyError turns a parse error into one that names the attribute and
// the likely mistake.
func privateKeyError(attribute, content string, err error) *ConfigError {
	passphrase := strings.TrimSuffix(attribute, "private_key") + "passphrase"
	switch {
	case errors.Is(err, errEncrypted) && strings.Contains(attribute, "."):
		return &ConfigError{attribute, "The key is encrypted, and the passphrase does not open it or is not set: use an unencrypted key or an SSH agent."}
	case errors.Is(err, errEncrypted):
		return &ConfigError{attribute, fmt.Sprintf("The key is encrypted: set %s, or load the key into an SSH agent.", passphrase)}
	case strings.HasPrefix(strings.TrimSpace(content), "PuTTY-User-Key-File-"):
		return &ConfigError{attribute, "It is a PuTTY key. Convert it: puttygen key.ppk -O private-openssh -o key; then take the content of the new file."}
	case !strings.Contains(content, "-----BEGIN"):
		return &ConfigError{attribute, fmt.Sprintf("%s is not a PEM key. It takes the content of a file, not its name: file(\"~/.ssh/id_ed25519\").", attribute)}
	}
	return &ConfigError{attribute, prose.Sentence("The key cannot be read: " + err.Error())}
}
