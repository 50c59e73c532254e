package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// unitName is the service's name in systemd.
const unitName = "routingmesh-agent.service"

// layout says where the agent's files are, below root ("/" but in tests).
type layout struct {
	root   string
	chosen *place // nil: see place
}

func (l layout) path(elements ...string) string {
	return filepath.Join(append([]string{l.root}, elements...)...)
}

func (l layout) libDir() string { return l.path(l.place().lib) }
func (l layout) link() string   { return l.path(l.place().link) }
func (l layout) unit() string   { return l.path("etc/systemd/system", unitName) }
func (l layout) wants() string {
	return l.path("etc/systemd/system/multi-user.target.wants", unitName)
}
func (l layout) stateDir() string  { return l.path("var/lib/routingmesh") }
func (l layout) originals() string { return l.path("var/lib/routingmesh/host.json") }

// toldFirewalld is what firewalld was told at run time, and has to forget again.
func (l layout) toldFirewalld() string { return l.path("var/lib/routingmesh/firewalld.json") }
func (l layout) runDir() string        { return l.path("run/routingmesh") }
func (l layout) socket() string        { return l.path("run/routingmesh/agent.sock") }
func (l layout) lock() string          { return l.path("run/routingmesh/agent.lock") }
func (l layout) installLock() string   { return l.path("run/routingmesh/install.lock") }
func (l layout) applied() string       { return l.path("run/routingmesh/applied.json") }
func (l layout) repairs() string       { return l.path("var/lib/routingmesh/repairs.json") }
func (l layout) drains() string        { return l.path("var/lib/routingmesh/drains.json") }
func (l layout) health() string        { return l.path("run/routingmesh/health.json") }
func (l layout) pidFile() string       { return l.path("run/routingmesh/agent.pid") }
func (l layout) logFile() string       { return l.path("run/routingmesh/agent.log") }

// binary is where the version with the digest (hex SHA-256) is installed.
func (l layout) binary(digest string) string {
	return filepath.Join(l.libDir(), digest[:12], "routingmesh-agent")
}

// ownExecutable is this program's file. /proc/self/exe works even after it has
// been replaced or removed.
const ownExecutable = "/proc/self/exe"

// fileDigest is the hex SHA-256 of a file.
func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (p *program) version(context.Context) error {
	digest, err := fileDigest(ownExecutable)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "routingmesh-agent %s linux/%s sha256:%s\n", version, runtime.GOARCH, digest)
	return err
}

// needRoot says at once what would fail piecemeal later.
func (p *program) needRoot(what string) error {
	if p.root == "/" && os.Geteuid() != 0 {
		return fmt.Errorf("%s needs root: run it with sudo", what)
	}
	return nil
}
