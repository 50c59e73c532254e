package sshdial

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPrivateKey_EncryptedPKCS8(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"encrypted_pkcs8", "encrypted_pkcs8_ecdsa_scrypt", "encrypted_pkcs8_rsa"} {
		content := testdata(t, file)
		if ids, err := parsePrivateKeys(content, "opens it", "private_key"); err != nil || len(ids) != 1 {
			t.Errorf("%s: %v", file, err)
		}
		if _, err := parsePrivateKeys(content, "", "private_key"); !errors.Is(err, errEncrypted) {
			t.Errorf("%s without a passphrase: %v", file, err)
		}
		if _, err := parsePrivateKeys(content, "another", "private_key"); !errors.Is(err, errWrongPassphrase) {
			t.Errorf("%s with another passphrase: %v", file, err)
		}
	}
	indented := "    " + strings.ReplaceAll(testdata(t, "encrypted_ed25519"), "\n", "\r\n    ")
	if _, err := parsePrivateKeys(indented, "opens it", "private_key"); err != nil {
		t.Errorf("from an indented heredoc: %v", err)
	}
}

func TestPrivateKey_PuTTY_SaysHowToConvert(t *testing.T) {
	t.Parallel()
	_, err := readKeys("", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", "", "")
	if err == nil || !strings.Contains(err.Error(), "puttygen key.ppk -O private-openssh -o key") {
		t.Errorf("it is %v", err)
	}
}

// A key is outside input: it is read or refused, whatever is in it.
func FuzzPrivateKey(f *testing.F) {
	for _, s := range []string{"", "PuTTY-User-Key-File-2", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		ids, err := parsePrivateKeys(content, "", "private_key")
		if (err == nil) != (len(ids) > 0) {
			t.Errorf("%d keys, %v", len(ids), err)
		}
	})
}

// A mark is found wherever reads cut it, and nothing after it is lost.
func FuzzAfterMark(f *testing.F) {
	f.Add("motd\n", "HTTP/1.1 200", 3)
	f.Add("", "", 1)
	f.Add(strings.Repeat("x", maxNoise), "rest", 4096)
	f.Fuzz(func(t *testing.T, noise, rest string, step int) {
		if strings.Contains(noise, rootMark) || step < 1 || step > 1<<16 {
			return
		}
		found := 0
		a := &afterMark{from: &stepReader{strings.NewReader(noise + rootMark + "\n" + rest), step}, mark: rootMark, found: func() { found++ }}
		var got strings.Builder
		if _, err := io.Copy(&got, a); err != nil || got.String() != rest || found != 1 {
			t.Errorf("%q, %d, %v; want %q", got.String(), found, err, rest)
		}
	})
}

// stepReader reads a little at a time.
type stepReader struct {
	io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.step)]) }
