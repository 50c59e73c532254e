package kernel

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Scope says how much to observe.
type Scope uint8

const (
	// Full is everything.
	Full Scope = iota
	// Traffic is everything but chains: it runs no program. Plan it against a
	// desired state without its chains.
	Traffic
)

// Observe returns every object of ours in the kernel, wanted or not, and nothing
// of anybody else's.
func (k *Kernel) Observe(ctx context.Context, scope Scope) (state.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meshKnown = false
	mesh, err := k.openMesh()
	if err != nil {
		return nil, err
	}
	into := state.State{}
	if err := k.observe(ctx, scope, mesh, into, all{into}); err != nil {
		return nil, err
	}
	return into, nil
}

// observe puts into the one what there is little of, and shows the other the rest.
func (k *Kernel) observe(ctx context.Context, scope Scope, mesh *netspace, into state.State, many crowd) error {
	if err := k.observeHost(ctx, into, many, mesh, scope); err != nil {
		return fmt.Errorf("observe the host's network namespace: %w", err)
	}
	k.note(into)
	if mesh == nil {
		return nil
	}
	if err := k.observeMesh(ctx, into, many, mesh, scope); err != nil {
		return fmt.Errorf("observe the mesh's network namespace: %w", err)
	}
	return nil
}

func (k *Kernel) observeHost(ctx context.Context, into state.State, many crowd, mesh *netspace, scope Scope) error {
	v, err := k.findVeth(mesh)
	if err != nil {
		return err
	}
	var links []string
	if v.peer != nil {
		into.Put(state.Veth{MTU: v.host.Attrs().MTU, Fault: v.fault()})
		links = append(links, state.HostLink)
		if err := v.observeNeighbours(into, k.host, mesh); err != nil {
			return err
		}
	}
	return inOrder(
		func() error { return observeLinkState(into, state.Host, k.host, links) },
		func() error { return k.observeRules(into) },
		func() error { return k.observeSysctls(into, state.Host, k.host, links) },
		func() error { return k.observeSets(into, many) },
		func() error { return k.observeChains(ctx, into, state.Host, k.host, scope) },
	)
}

func (k *Kernel) observeMesh(ctx context.Context, into state.State, many crowd, mesh *netspace, scope Scope) error {
	links := []string{"lo", state.MeshLink, state.OverlayLink}
	return inOrder(
		func() error { return k.observeNamespace(into, mesh) },
		func() error { return k.observeVXLAN(into, mesh) },
		func() error { return observeLinkState(into, state.Mesh, mesh, links) },
		func() error { return observeOverlay(into, mesh) },
		func() error { return k.observeSysctls(into, state.Mesh, mesh, links) },
		func() error { return k.balancer.List(ctx, into, many) },
		func() error { return k.observeChains(ctx, into, state.Mesh, mesh, scope) },
	)
}

// observeLinkState reads addresses and routes on links of ours. The kernel names
// links in them by index.
func observeLinkState(into state.State, ns state.NS, s *netspace, links []string) error {
	names, err := linkNames(s)
	if err != nil {
		return err
	}
	if err := observeAddrs(into, ns, s, names, links); err != nil {
		return err
	}
	return observeRoutes(into, ns, s, names, links)
}

func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
