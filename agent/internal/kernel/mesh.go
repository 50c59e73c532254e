package kernel

import (
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// InHost runs fn on a thread that is in the host's network namespace, InMesh on
// one in the mesh's: an error when that is not there. What fn opens stays in the
// namespace that it was opened in. Neither waits for what else a Kernel does.
func (k *Kernel) InHost(fn func() error) error { return k.host.Do(fn) }

// InMesh is described with InHost.
func (k *Kernel) InMesh(fn func() error) error {
	return k.withMesh(func(ns netns.Handle) error {
		return netns.Do(ns, fn)
	})
}

// withMesh opens the mesh's namespace beside the handle that Observe and Apply
// share, so that nobody waits for them.
func (k *Kernel) withMesh(fn func(netns.Handle) error) error {
	there, err := netns.IsMounted(k.namespaceFile())
	if err == nil && !there {
		err = fmt.Errorf("there is no network namespace %s", state.Namespace)
	}
	if err != nil {
		return err
	}
	ns, err := netns.Open(k.namespaceFile())
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", state.Namespace, err)
	}
	defer ns.Close()
	return fn(ns)
}

// MeshID tells the mesh's namespaces apart that follow each other under one name;
// 0 when there is none. Whoever keeps a socket there closes it when the id changes:
// it keeps the old namespace alive, and the links in it.
func (k *Kernel) MeshID() uint64 { return netns.Inode(k.namespaceFile()) }
