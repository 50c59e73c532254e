// Package hostsfile keeps a block of our own in the host's /etc/hosts, by which the processes
// of a host that is a member of networks find the VIPs of services. Nothing else of the file
// is ever changed, and when the block goes, the file is what it was before.
package hostsfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/names"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// File is a hosts file. It implements reconcile.Told.
type File struct {
	path     string
	hostname func() (string, error)

	mu    sync.Mutex
	node  string
	hosts []names.Host
	seen  host.Signature // of a file that had the hosts
}

// New returns a File that shall have no block.
func New(path string) *File { return &File{path: path, hostname: os.Hostname} }

// Keep implements reconcile.Told.
func (f *File) Keep(rec *mesh.Record, node string) {
	var hosts []names.Host
	if rec != nil && rec.HasNetworks() && rec.Cluster.HostDNS == mesh.HostDNSHosts {
		hosts = names.Hosts(rec, node)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.node = node
	if !slices.EqualFunc(hosts, f.hosts, sameHost) {
		f.hosts, f.seen = hosts, host.Signature{}
	}
}

func sameHost(a, b names.Host) bool {
	return a.VIP == b.VIP && a.Name == b.Name && slices.Equal(a.Short, b.Short)
}

// Check implements reconcile.File. A file that cannot be written has no fault: Warnings tells
// of it, for no apply repairs it.
func (f *File) Check() state.OwnFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	checked := state.OwnFile{What: "file", Path: f.path}
	if now := f.look(); now.differs && now.obstacle == "" {
		checked.Fault = now.fault
	}
	return checked
}

// found is what a look at the file has found.
type found struct {
	signature host.Signature
	differs   bool
	want      string
	fault     string // how it differs, as the rest of a sentence
	obstacle  string // why it cannot be written, as the rest of a sentence
}

// look reads the file, unless it is the one that had the hosts. It is called with mu held.
func (f *File) look() found {
	now := found{signature: host.SignatureOf(f.path)}
	if now.signature == f.seen && f.seen != (host.Signature{}) {
		return now
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		now.differs, now.obstacle = len(f.hosts) > 0, fmt.Sprintf("cannot be read (%v)", err)
		return now
	}
	t, err := parse(string(content))
	if err != nil {
		now.differs, now.obstacle = true, "has been edited so that what is the agent's cannot be told from the rest: "+err.Error()
		return now
	}
	hostname, _ := f.hostname() // "" where it is not known
	now.want = t.with(f.hosts, hostname)
	if now.want == string(content) {
		f.seen = now.signature
		return now
	}
	now.differs, now.obstacle = true, obstacle(f.path)
	switch {
	case t.block == "":
		now.fault = "does not have the names of services in networks, so that the processes of this host do not find them"
	case len(f.hosts) == 0:
		now.fault = "still has names of services in networks, which the processes of this host do not reach"
	default:
		now.fault = "has other names of services in networks than the record, so that the processes of this host do not find the right ones"
	}
	return now
}

// obstacle is why the file is not to be replaced by another one, as the rest of a sentence; ""
// for nothing.
func obstacle(path string) string {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st); err != nil {
		return fmt.Sprintf("cannot be looked at (%v)", err)
	}
	var fs unix.Statfs_t
	dir := filepath.Dir(path)
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return "is a link to another file"
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "is not a regular file"
	case st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0:
		return "is immutable (chattr)"
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return "is a mount of its own"
	case unix.Statfs(dir, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0:
		return "is on a file system that is mounted read-only"
	case unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_BASIC_STATS, &st) == nil && st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return "is in an immutable folder (chattr)"
	}
	return ""
}

// Repair implements reconcile.File.
func (f *File) Repair(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.write()
	return err
}

// write says whether there was something to write. It is called with mu held.
func (f *File) write() (bool, error) {
	const tries = 3 // others may write it at the same time
	var err error
	for range tries {
		now := f.look()
		if !now.differs || now.obstacle != "" {
			return false, nil
		}
		if err = host.RewriteFile(f.path, now.signature, []byte(now.want)); !errors.Is(err, host.ErrChanged) {
			return err == nil, err
		}
	}
	return false, err
}

// Leave implements reconcile.Told.
func (f *File) Leave(context.Context) (removed int, err error) {
	f.Keep(nil, "")
	f.mu.Lock()
	defer f.mu.Unlock()
	written, err := f.write()
	if err != nil {
		return 0, err
	}
	if content, err := os.ReadFile(f.path); err == nil && hasMarks(string(content)) {
		return 0, fmt.Errorf("%s still has the names of services in networks: it %s. Remove the lines from %q to %q", f.path, f.look().obstacle, begin, end)
	}
	if written {
		removed = 1
	}
	return removed, nil
}

// Warnings says that the file cannot be written.
func (f *File) Warnings() []mesh.Warning {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.node == "" {
		return nil
	}
	now := f.look()
	if !now.differs || now.obstacle == "" {
		return nil
	}
	what := "The processes of this host, which are members of networks, do not find services by name"
	if len(f.hosts) == 0 {
		what = "Names of services that the processes of this host do not reach are still there"
	}
	return []mesh.Warning{{Code: mesh.WarnNames, Object: mesh.NodeRef(f.node), Text: fmt.Sprintf(
		"%s: %s %s, and the agent leaves it alone. Change that, or set host_dns = %q for the cluster and see to the names yourself.", what, f.path, now.obstacle, mesh.HostDNSOff)}}
}
