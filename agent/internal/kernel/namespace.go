package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

func (k *Kernel) namespaceFile() string { return filepath.Join(k.netnsDir, state.Namespace) }

// openMesh returns the mesh's namespace, nil when there is none. The one that is
// open may have been deleted, and made anew by the same name: the file decides,
// looked at once in every call of Observe and Apply.
func (k *Kernel) openMesh() (*netspace, error) {
	if !k.meshKnown {
		if err := k.lookForMesh(); err != nil {
			return nil, err
		}
		k.meshKnown = true
	}
	return k.mesh, nil
}

func (k *Kernel) lookForMesh() error {
	there, err := isNamespace(k.namespaceFile())
	if err != nil || !there {
		return errors.Join(err, k.closeMesh())
	}
	ns, err := netns.GetFromPath(k.namespaceFile())
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", state.Namespace, err)
	}
	if k.mesh != nil && k.mesh.ns.Equal(ns) {
		return ns.Close()
	}
	if err := k.closeMesh(); err != nil {
		return errors.Join(err, ns.Close())
	}
	if k.mesh, err = newNetspace(ns); err != nil {
		return err
	}
	k.balancer = newIPVS(k.mesh, &k.programs)
	return nil
}

// needMesh is for what is in the mesh's namespace, and so needs it.
func (k *Kernel) needMesh() (*netspace, error) {
	mesh, err := k.openMesh()
	if err == nil && mesh == nil {
		err = fmt.Errorf("there is no network namespace %s", state.Namespace)
	}
	return mesh, err
}

// space is the namespace that an object lives in; nil when it is not there.
func (k *Kernel) space(ns state.NS) (*netspace, error) {
	if ns == state.Host {
		return k.host, nil
	}
	return k.openMesh()
}

// needSpace is space, and an error when it is not there.
func (k *Kernel) needSpace(ns state.NS) (*netspace, error) {
	if ns == state.Host {
		return k.host, nil
	}
	return k.needMesh()
}

// closeMesh lets go of the namespace: an open socket would keep it alive.
func (k *Kernel) closeMesh() error {
	if k.mesh == nil {
		return nil
	}
	k.balancer.Close()
	err := k.mesh.close()
	k.mesh, k.balancer = nil, nil
	return err
}

// isNamespace tells the mount of a namespace from what is left of one after a
// crash: an empty file.
func isNamespace(path string) (bool, error) {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look at %s: %w", path, err)
	}
	return st.Type == unix.NSFS_MAGIC, nil
}

var namespaceHandler = newHandler((*Kernel).observeNamespace, (*Kernel).putNamespace, (*Kernel).removeNamespace)

func (k *Kernel) observeNamespace(_ context.Context, r *view) error {
	if r.ns != state.Mesh {
		return nil
	}
	lo, err := r.space.link("lo")
	if err != nil {
		return err
	}
	n := state.NetNS{}
	if lo == nil || !up(lo) {
		n.Fault = "its loopback link is down"
	}
	r.into.Put(n)
	return nil
}

// putNamespace makes the namespace as `ip netns add` does, so that `ip netns
// exec routingmesh` works, or sets right what is there.
func (k *Kernel) putNamespace(context.Context, state.Object, state.NetNS) error {
	mesh, err := k.openMesh()
	if err != nil {
		return err
	}
	if mesh == nil {
		if err := k.makeNamespace(); err != nil {
			return err
		}
		k.meshKnown = false
		if mesh, err = k.needMesh(); err != nil {
			return err
		}
	}
	lo, err := mesh.linkIndex("lo")
	if err != nil {
		return err
	}
	if err := mesh.nl.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: lo}}); err != nil {
		return fmt.Errorf("set the loopback link up: %w", err)
	}
	return nil
}

func (k *Kernel) makeNamespace() error {
	if err := k.noteNetnsDir(); err != nil {
		return err
	}
	if err := shareMounts(k.netnsDir); err != nil {
		return err
	}
	path := k.namespaceFile()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a crash
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- inNewNamespace(func() error { return mountNamespace(path) }) }()
	return <-done
}

// mountNamespace keeps the thread's network namespace, by a name.
func mountNamespace(path string) error {
	if err := unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the namespace on %s: %w", path, err)
	}
	return nil
}

// shareMounts makes the folder a shared mount, as iproute2 does: a deletion of a
// namespace then reaches every mount namespace that has a copy of it.
func shareMounts(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount yet
		if err := unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s on itself: %w", dir, err)
		}
		err = unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	}
	if err != nil {
		return fmt.Errorf("share the mounts below %s: %w", dir, err)
	}
	return nil
}

// removeNamespace unmounts it, and what may have been mounted over it. The
// kernel takes what is inside away a little later.
func (k *Kernel) removeNamespace(context.Context, state.NetNS) error {
	if err := k.closeMesh(); err != nil {
		return err
	}
	path := k.namespaceFile()
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.dropNetnsDir()
}

const netnsDirKey = "folder of network namespaces"

// noteNetnsDir keeps that the folder was not there: iproute2, and we, make it with
// the first namespace. A folder that is there after a reboot may be another's,
// but is only ever taken away when it is empty.
func (k *Kernel) noteNetnsDir() error {
	_, err := os.Stat(k.netnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return k.originals.Set(netnsDirKey, absent)
	}
	return err
}

// dropNetnsDir takes the folder away if it came with us and nobody else has a
// namespace in it.
func (k *Kernel) dropNetnsDir() error {
	if !k.claimed(netnsDirKey) {
		return nil
	}
	entries, err := os.ReadDir(k.netnsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return k.originals.Delete(netnsDirKey) // it is theirs by now
	}
	if err := unix.Unmount(k.netnsDir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", k.netnsDir, err)
	}
	if err := os.Remove(k.netnsDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.originals.Delete(netnsDirKey)
}

func up(l netlink.Link) bool { return l.Attrs().RawFlags&unix.IFF_UP != 0 }
