package meshclient

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

// The directory holds a README too, so that a build without the agents works.
//
//go:embed agentbin
var embedded embed.FS

// agentBinary is the agent for one architecture.
type agentBinary struct {
	gz     []byte
	sha256 string // hex, of the uncompressed program
	err    error
}

// agentBinaries reads every architecture's agent once.
type agentBinaries struct {
	source func(arch string) ([]byte, string, error) // nil: the embedded ones
	mu     sync.Mutex
	byArch map[string]*agentBinary
}

// get returns the agent for a Linux architecture in Go's words.
func (a *agentBinaries) get(arch string) *agentBinary {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.byArch[arch]; b != nil {
		return b
	}
	if a.byArch == nil {
		a.byArch = map[string]*agentBinary{}
	}
	b := &agentBinary{}
	if a.source != nil {
		b.gz, b.sha256, b.err = a.source(arch)
	} else {
		b.gz, b.sha256, b.err = readAgent(embedded, arch)
	}
	a.byArch[arch] = b
	return b
}

func readAgent(dir fs.FS, arch string) (gz []byte, sum string, err error) {
	name := fmt.Sprintf("agentbin/routingmesh-agent_linux_%s.gz", arch)
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
	if _, err := io.Copy(h, r); err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return gz, hex.EncodeToString(h.Sum(nil)), nil
}
