// Package agentbin has the agents that this program carries: `make agents` puts them
// into this directory, and they are embedded.
package agentbin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// All files: a pattern that only the agents match would fail a build without them.
//
//go:embed *
var embedded embed.FS

// Binary is the agent for one architecture.
type Binary struct {
	GZ     []byte
	SHA256 string // hex, of the uncompressed program
	Err    error
}

// Binaries reads every architecture's agent once.
type Binaries struct {
	// Source returns an agent and its sum; nil takes the embedded ones.
	Source func(arch string) (gz []byte, sha256hex string, err error)

	mu     sync.Mutex
	byArch map[string]*Binary
}

// Get returns the agent for a Linux architecture in Go's words.
func (a *Binaries) Get(arch string) *Binary {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.byArch[arch]; b != nil {
		return b
	}
	if a.byArch == nil {
		a.byArch = map[string]*Binary{}
	}
	b := &Binary{}
	if a.Source != nil {
		b.GZ, b.SHA256, b.Err = a.Source(arch)
	} else {
		b.GZ, b.SHA256, b.Err = readAgent(embedded, arch)
	}
	a.byArch[arch] = b
	return b
}

func readAgent(dir fs.FS, arch string) (gz []byte, sum string, err error) {
	name := fmt.Sprintf("routingmesh-agent_linux_%s.gz", arch)
	gz, err = fs.ReadFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("this build of the provider carries no agent for linux/%s: build it with `make build`", arch)
	}
	if err != nil {
		return nil, "", err
	}
	r, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil { //nolint:gosec // G110: it is our own agent, into a hash
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return gz, hex.EncodeToString(h.Sum(nil)), nil
}
