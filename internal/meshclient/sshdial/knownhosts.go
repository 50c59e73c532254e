package sshdial

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts is a set of known_hosts files, read once.
type knownHosts struct {
	callback ssh.HostKeyCallback
	files    map[string]string // where the parser read it → the file's own name
	cas      map[string]bool   // "FILE:LINE" of @cert-authority lines
}

// readKnownHosts reads the files. A line that OpenSSH would pass over (a key
// type it does not know, a typing error) is passed over here too: the parser
// by itself refuses the whole file. nil files mean nil.
func readKnownHosts(files []string) (*knownHosts, error) {
	if len(files) == 0 {
		return nil, nil
	}
	k := &knownHosts{files: map[string]string{}, cas: map[string]bool{}}
	contents := make([][]byte, len(files))
	for i, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		contents[i], k.files[file] = content, file
		k.noteAuthorities(file, content)
	}
	var err error
	if k.callback, err = knownhosts.New(files...); err == nil {
		return k, nil
	}
	return k, k.readCleaned(files, contents)
}

func (k *knownHosts) noteAuthorities(file string, content []byte) {
	for i, line := range bytes.Split(content, []byte("\n")) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("@cert-authority")) {
			k.cas[lineKey(file, i+1)] = true
		}
	}
}

// readCleaned reads copies in which the lines that cannot be read are blank,
// so that line numbers stay.
func (k *knownHosts) readCleaned(files []string, contents [][]byte) error {
	dir, err := os.MkdirTemp("", "routingmesh-known-hosts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var cleaned []string
	for i, content := range contents {
		clean := filepath.Join(dir, strconv.Itoa(i))
		lines := bytes.Split(content, []byte("\n"))
		for n, line := range lines {
			if !readableLine(clean, line) {
				lines[n] = nil
			}
		}
		if err := os.WriteFile(clean, bytes.Join(lines, []byte("\n")), 0o600); err != nil {
			return err
		}
		k.files[clean] = files[i]
		cleaned = append(cleaned, clean)
	}
	k.callback, err = knownhosts.New(cleaned...)
	return err
}

// readableLine asks the parser itself, which reads nothing but files.
func readableLine(scratch string, line []byte) bool {
	if os.WriteFile(scratch, line, 0o600) != nil {
		return false
	}
	_, err := knownhosts.New(scratch)
	return err == nil
}

func lineKey(file string, line int) string { return fmt.Sprintf("%s:%d", file, line) }

// check returns nil for the right key, and else an error with the keys that
// are known for the address: none when it is unknown.
func (k *knownHosts) check(address string, key ssh.PublicKey) ([]KnownHostKey, error) {
	if k == nil {
		return nil, nil
	}
	err := k.callback(address, nowhere(), key)
	var mismatch *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &revoked):
		return []KnownHostKey{k.describe(revoked.Revoked)}, err
	case errors.As(err, &mismatch):
		var known []KnownHostKey
		for _, w := range mismatch.Want {
			// An authority vouches for certificates; it makes no plain key known.
			if !k.authority(w) {
				known = append(known, k.describe(w))
			}
		}
		return known, err
	}
	// A host certificate that does not check: expired, another principal.
	return []KnownHostKey{{Fingerprint: "a certificate authority", Type: err.Error(), Source: "known_hosts"}}, err
}

func (k *knownHosts) authority(w knownhosts.KnownKey) bool {
	return k.cas[lineKey(k.files[w.Filename], w.Line)]
}

func (k *knownHosts) describe(w knownhosts.KnownKey) KnownHostKey {
	return KnownHostKey{ssh.FingerprintSHA256(w.Key), w.Key.Type(), "known_hosts " + lineKey(k.files[w.Filename], w.Line)}
}

// algorithms lists those of the keys that are known for the address.
func (k *knownHosts) algorithms(address string) []string {
	if k == nil {
		return nil
	}
	var mismatch *knownhosts.KeyError
	if !errors.As(k.callback(address, nowhere(), noKey{}), &mismatch) {
		return nil
	}
	var algos []string
	for _, w := range mismatch.Want {
		types := algorithmsFor(w.Key.Type())
		if k.authority(w) {
			types = certificateAlgorithms()
		}
		for _, t := range types {
			if !slices.Contains(algos, t) {
				algos = append(algos, t)
			}
		}
	}
	return algos
}

func certificateAlgorithms() []string {
	var algos []string
	for _, a := range ssh.SupportedAlgorithms().HostKeys {
		if strings.Contains(a, "-cert-") {
			algos = append(algos, a)
		}
	}
	return algos
}

// noKey is a key that no host has, to ask known_hosts which it wants.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
