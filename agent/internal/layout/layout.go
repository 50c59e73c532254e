// Package layout says where the agent's files are on a host, and who may change
// them: the lock of the agent that runs, and the lock of an install.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// UnitName is the service's name in systemd.
const UnitName = "routingmesh-agent.service"

// SetsUnitName is a unit of its own, because it runs before the programs that load
// the host's saved rules, and the agent after them.
const SetsUnitName = "routingmesh-sets.service"

// Layout says where the agent's files are, below Root ("/" but in tests).
type Layout struct {
	Root   string
	chosen *Place // nil: see place
}

func (l Layout) Path(elements ...string) string {
	return filepath.Join(append([]string{l.Root}, elements...)...)
}

func (l Layout) LibDir() string { return l.Path(l.place().Lib) }
func (l Layout) Link() string   { return l.Path(l.place().Link) }
func (l Layout) Unit() string   { return l.Path("etc/systemd/system", UnitName) }
func (l Layout) Wants() string {
	return l.Path("etc/systemd/system/multi-user.target.wants", UnitName)
}
func (l Layout) SetsUnit() string { return l.Path("etc/systemd/system", SetsUnitName) }
func (l Layout) SetsWants() string {
	return l.Path("etc/systemd/system/sysinit.target.wants", SetsUnitName)
}

// HostsFile is the host's, in which a block is ours (package hostsfile).
func (l Layout) HostsFile() string { return l.Path("etc/hosts") }
func (l Layout) StateDir() string  { return l.Path("var/lib/routingmesh") }
func (l Layout) Originals() string { return l.Path("var/lib/routingmesh/host.json") }

// ToldFirewalld is what firewalld was told at run time, and has to forget again.
func (l Layout) ToldFirewalld() string { return l.Path("var/lib/routingmesh/firewalld.json") }
func (l Layout) RunDir() string        { return l.Path("run/routingmesh") }
func (l Layout) Socket() string        { return l.Path("run/routingmesh/agent.sock") }
func (l Layout) Lock() string          { return l.Path("run/routingmesh/agent.lock") }
func (l Layout) InstallLock() string   { return l.Path("run/routingmesh/install.lock") }
func (l Layout) Applied() string       { return l.Path("run/routingmesh/applied.json") }
func (l Layout) Repairs() string       { return l.Path("var/lib/routingmesh/repairs.json") }
func (l Layout) Drains() string        { return l.Path("var/lib/routingmesh/drains.json") }
func (l Layout) Health() string        { return l.Path("run/routingmesh/health.json") }
func (l Layout) PIDFile() string       { return l.Path("run/routingmesh/agent.pid") }
func (l Layout) LogFile() string       { return l.Path("run/routingmesh/agent.log") }

// WhereToLook is what to do where no agent answers, as the end of a sentence.
func (l Layout) WhereToLook() string {
	there := func(path string) bool {
		_, err := os.Lstat(path)
		return err == nil
	}
	switch {
	case there(l.Unit()):
		return "see `systemctl status routingmesh-agent` and `journalctl -u routingmesh-agent`"
	case there(l.LogFile()):
		return "see " + l.LogFile()
	case there(l.Link()):
		return "run terraform apply, which starts it"
	}
	return "it is not installed here; terraform apply installs it when the host becomes a node"
}

// Binary is where the version with the digest (hex SHA-256) is installed.
func (l Layout) Binary(digest string) string {
	return filepath.Join(l.LibDir(), digest[:12], "routingmesh-agent")
}

// OwnExecutable is this program's file. /proc/self/exe works even after it has
// been replaced or removed.
const OwnExecutable = "/proc/self/exe"

// FileDigest is the hex SHA-256 of a file.
func FileDigest(path string) (string, error) {
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

// NeedRoot says at once what would fail piecemeal later.
func (l Layout) NeedRoot(what string) error {
	if l.Root == "/" && os.Geteuid() != 0 {
		return fmt.Errorf("%s needs root: run it with sudo", what)
	}
	return nil
}

// PrivateDir makes a folder that is root's alone, whatever the umask.
func PrivateDir(dir string) error {
	if err := PublicDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// PublicDir makes a folder, with those above it, that everybody can look into, whatever
// the umask: that of an install is 077. Folders that are there stay as they are.
func PublicDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err == nil {
		return os.Chmod(dir, 0o755)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o755) // nil for a folder that is there
	}
	if err := PublicDir(filepath.Dir(dir)); err != nil {
		return err
	}
	return PublicDir(dir)
}
