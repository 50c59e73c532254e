package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipset"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipvs"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

func (k *Kernel) namespaceFile() string { return filepath.Join(k.netnsDir, state.Namespace) }

// openMesh returns the mesh's namespace, nil when there is none. The one that is
// open may have been deleted, and recreated by the same name: the file decides,
// looked at once in every call of Observe and Apply.
func (k *Kernel) openMesh() (*netns.Space, error) {
	if !k.meshKnown {
		if err := k.lookForMesh(); err != nil {
			return nil, err
		}
		k.meshKnown = true
	}
	return k.mesh, nil
}

func (k *Kernel) lookForMesh() error {
	there, err := netns.IsMounted(k.namespaceFile())
	if err != nil || !there {
		return errors.Join(err, k.closeMesh())
	}
	ns, err := netns.Open(k.namespaceFile())
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", state.Namespace, err)
	}
	if k.mesh != nil && k.mesh.NS.Equal(ns) {
		return ns.Close()
	}
	if err := k.closeMesh(); err != nil {
		return errors.Join(err, ns.Close())
	}
	if k.mesh, err = netns.NewSpace(ns); err != nil {
		return err
	}
	if k.meshSets, err = ipset.Open(ns, state.Mesh); err != nil {
		err = errors.Join(err, k.mesh.Close())
		k.mesh = nil
		return err
	}
	k.balancer = ipvs.New(k.mesh, &k.programs)
	return nil
}

// needMesh is for what is in the mesh's namespace, and so needs it.
func (k *Kernel) needMesh() (*netns.Space, error) {
	mesh, err := k.openMesh()
	if err == nil && mesh == nil {
		err = fmt.Errorf("there is no network namespace %s", state.Namespace)
	}
	return mesh, err
}

// space is the namespace that an object lives in; nil when it is not there.
func (k *Kernel) space(ns state.NS) (*netns.Space, error) {
	if ns == state.Host {
		return k.host, nil
	}
	return k.openMesh()
}

// needSpace is space, and an error when it is not there.
func (k *Kernel) needSpace(ns state.NS) (*netns.Space, error) {
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
	k.meshSets.Close()
	err := k.mesh.Close()
	k.mesh, k.meshSets, k.balancer = nil, nil, nil
	return err
}

var namespaceHandler = steersIf(newHandler((*Kernel).observeNamespace, (*Kernel).putNamespace, (*Kernel).removeNamespace).toldBy(namespaceEvents),
	func(state.NetNS) bool { return true })

// namespaceEvents tell of its loopback link. That the namespace has come or gone is
// inotify's to tell, see package watch.
func namespaceEvents(k *Kernel, ns state.NS) (watch.Interest, bool) {
	i, _ := linkEvents(k, ns)
	return i, ns == state.Mesh
}

func (k *Kernel) observeNamespace(_ context.Context, r *view) error {
	if r.ns != state.Mesh {
		return nil
	}
	lo, err := r.space.Link("lo")
	if err != nil {
		return err
	}
	n := state.NetNS{}
	if lo == nil || !netns.IsUp(lo) {
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
	lo, err := mesh.LinkIndex("lo")
	if err != nil {
		return err
	}
	if err := mesh.Netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: lo}}); err != nil {
		return fmt.Errorf("set the loopback link up: %w", err)
	}
	return nil
}

func (k *Kernel) makeNamespace() error {
	if err := k.noteNetnsDir(); err != nil {
		return err
	}
	return netns.Make(k.namespaceFile())
}

// removeNamespace takes everything in the mesh's namespace with it.
func (k *Kernel) removeNamespace(context.Context, state.NetNS) error {
	if err := k.closeMesh(); err != nil {
		return err
	}
	if err := netns.Remove(k.namespaceFile()); err != nil {
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
	if err := netns.RemoveDir(k.netnsDir); err != nil {
		return err
	}
	return k.originals.Delete(netnsDirKey)
}
