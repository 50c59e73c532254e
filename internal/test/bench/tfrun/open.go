// Package tfrun runs Terraform for the parts of `make bench` that measure the provider: against agents without
// a kernel, each behind an SSH server with sshd's limits, and beside it with a provider that does nothing.
package tfrun

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/tfcli"
)

// A Bench has what is built for all measurements.
type Bench struct {
	dir       string // temporary
	root      string // of the module
	terraform string
	sha256    string // of the agent that the provider carries
}

// Providers of a workspace.
const (
	Mesh  = "mesh"
	Floor = "floor"
)

// Open builds the provider, the floor and the agents. Close removes them.
func Open(ctx context.Context) (*Bench, error) {
	terraform, err := tfcli.Find(exec.LookPath)
	if err != nil {
		return nil, err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	b := &Bench{root: strings.TrimSpace(string(root)), terraform: terraform}
	if b.sha256, err = carried(b.root); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "rm-bench-"); err != nil {
		return nil, err
	}
	for out, source := range map[string]string{
		Mesh + "/terraform-provider-routingmesh": ".", Floor + "/terraform-provider-routingmesh": "./internal/test/bench/floor", "fleet": "./agent/fleet",
	} {
		build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", filepath.Join(b.dir, out), source)
		build.Dir = b.root
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			b.Close()
			return nil, fmt.Errorf("build %s: %w\n%s", source, err, text)
		}
	}
	return b, nil
}

// Close removes what was built.
func (b *Bench) Close() { _ = os.RemoveAll(b.dir) }

// carried is the checksum of the agent that the provider would install on a host like this one.
func carried(root string) (string, error) {
	name := filepath.Join(root, "internal", "meshclient", "agentbin", "routingmesh-agent_linux_"+runtime.GOARCH+".gz")
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("the provider carries no agent, make agents builds it: %w", err)
	}
	defer f.Close()
	program, err := gzip.NewReader(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, program); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
