package sshdial

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts is a set of known_hosts files, read once. nil knows nothing.
type knownHosts struct {
	db    *knownhosts.HostKeyDB
	files map[string]string // where the parser read it → the file's own name
}

// readKnownHosts reads the files. A line that OpenSSH would pass over (a key
// type it does not know, a typing error) is passed over here too: the parser
// by itself refuses the whole file. nil files mean nil.
func readKnownHosts(files []string) (*knownHosts, error) {
	if len(files) == 0 {
		return nil, nil
	}
	k := &knownHosts{files: map[string]string{}}
	contents := make([][]byte, len(files))
	for i, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		contents[i], k.files[file] = content, file
	}
	var err error
	if k.db, err = knownhosts.NewDB(files...); err == nil {
		return k, nil
	}
	return k, k.readCleaned(files, contents)
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
		if err := writeCleaned(clean, content); err != nil {
			return err
		}
		k.files[clean] = files[i]
		cleaned = append(cleaned, clean)
	}
	k.db, err = knownhosts.NewDB(cleaned...)
	return err
}

// writeCleaned blanks the lines without a key that can be read, and, should the parser
// refuse what is left, each line that it refuses by itself: it reads nothing but files,
// and a file for each of thousands of lines takes seconds.
func writeCleaned(file string, content []byte) error {
	lines := bytes.Split(content, []byte("\n"))
	write := func(readable func(line []byte) bool) error {
		for n, line := range lines {
			if !readable(line) {
				lines[n] = nil
			}
		}
		return os.WriteFile(file, bytes.Join(lines, []byte("\n")), 0o600)
	}
	err := write(func(line []byte) bool {
		_, _, _, _, _, err := ssh.ParseKnownHosts(line)
		return err == nil || errors.Is(err, io.EOF)
	})
	if err != nil {
		return err
	}
	if _, err := xknownhosts.New(file); err == nil {
		return nil
	}
	return write(func(line []byte) bool {
		if os.WriteFile(file, line, 0o600) != nil {
			return false
		}
		_, err := xknownhosts.New(file)
		return err == nil
	})
}

// revoked returns the line that revokes the key, a certificate's own key or its
// authority's, or nil.
func (k *knownHosts) revoked(address string, key ssh.PublicKey) *KnownHostKey {
	if k == nil {
		return nil
	}
	keys := []ssh.PublicKey{key}
	if cert, ok := key.(*ssh.Certificate); ok {
		keys = append(keys, cert.Key, cert.SignatureKey)
	}
	for _, key := range keys {
		if revoked, ok := errors.AsType[*xknownhosts.RevokedError](k.ask(address, key)); ok {
			line := k.describe(revoked.Revoked)
			return &line
		}
	}
	return nil
}

func (k *knownHosts) ask(address string, key ssh.PublicKey) error {
	return k.db.HostKeyCallback()(address, nowhere(), key)
}

// check returns nil for the right key, and else an error with the keys that
// are known for the address: none when it is unknown.
func (k *knownHosts) check(address string, key ssh.PublicKey) ([]KnownHostKey, error) {
	if k == nil {
		return nil, nil
	}
	err := k.ask(address, key)
	if err == nil {
		return nil, nil
	}
	mismatch, ok := errors.AsType[*xknownhosts.KeyError](err)
	if !ok {
		// A host certificate that does not check: expired, another principal.
		return []KnownHostKey{{Fingerprint: "a certificate authority", Type: err.Error(), Source: "known_hosts"}}, err
	}
	authorities := k.authorities(address)
	var known []KnownHostKey
	for _, w := range mismatch.Want {
		// An authority vouches for certificates; it makes no plain key known.
		if !slices.ContainsFunc(authorities, func(ca ssh.PublicKey) bool { return sameKey(ca, w.Key) }) {
			known = append(known, k.describe(w))
		}
	}
	return known, err
}

func (k *knownHosts) authorities(address string) (authorities []ssh.PublicKey) {
	for _, key := range k.db.HostKeys(address) {
		if key.Cert {
			authorities = append(authorities, key.PublicKey)
		}
	}
	return authorities
}

// knows says that there is a key or an authority for the address.
func (k *knownHosts) knows(address string) bool { return k != nil && len(k.db.HostKeys(address)) > 0 }

func (k *knownHosts) describe(w xknownhosts.KnownKey) KnownHostKey {
	return KnownHostKey{ssh.FingerprintSHA256(w.Key), w.Key.Type(), fmt.Sprintf("known_hosts %s:%d", k.files[w.Filename], w.Line)}
}

// algorithms lists those of the keys that are known for the address. An authority
// counts for certificates by any algorithm: its own key says nothing of the host's.
func (k *knownHosts) algorithms(address string) []string {
	if k == nil {
		return nil
	}
	var algos []string
	for _, key := range k.db.HostKeys(address) {
		types := algorithmsFor(key.Type())
		if key.Cert {
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
	return slices.DeleteFunc(ssh.SupportedAlgorithms().HostKeys, func(a string) bool { return !isCertificate(a) })
}
