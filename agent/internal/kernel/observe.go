package kernel

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/link"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
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
	return k.observeAll(ctx, scope, mesh)
}

func (k *Kernel) observeAll(ctx context.Context, scope Scope, mesh *netns.Space) (state.State, error) {
	into, ports := state.State{}, state.PortSets{}
	if err := k.observe(ctx, scope, mesh, into, all{into, ports}); err != nil {
		return nil, err
	}
	ports.Put(into)
	return into, nil
}

// observe puts into the one what there is little of, and shows the other the rest.
func (k *Kernel) observe(ctx context.Context, scope Scope, mesh *netns.Space, into state.State, many sink) error {
	pair, err := link.FindVeth(k.host, mesh)
	if err != nil {
		return err
	}
	host := &view{ns: state.Host, space: k.host, mesh: mesh, veth: pair, into: into, many: many}
	if pair.Peer != nil {
		host.links = []string{state.HostLink}
	}
	if err := k.read(ctx, host, scope); err != nil {
		return fmt.Errorf("observe the host's network namespace: %w", err)
	}
	k.note(into)
	if mesh == nil {
		return nil
	}
	ours := &view{ns: state.Mesh, space: mesh, mesh: mesh, veth: pair, into: into, many: many, links: []string{"lo", state.MeshLink, state.OverlayLink}}
	if err := k.read(ctx, ours, scope); err != nil {
		return fmt.Errorf("observe the mesh's network namespace: %w", err)
	}
	return nil
}

// view is a network namespace that is being observed.
type view struct {
	ns    state.NS
	space *netns.Space
	mesh  *netns.Space   // nil while there is none
	veth  link.Veth      // without a peer while there is none
	links []string       // those of ours in it
	names map[int]string // of all links in it, by index: the kernel names links so
	into  state.State
	many  sink
}

func (k *Kernel) read(ctx context.Context, r *view, scope Scope) (err error) {
	if r.names, err = link.Names(r.space); err != nil {
		return err
	}
	for i := range handlers {
		h := &handlers[i]
		if h.observe == nil || h.program && scope == Traffic {
			continue
		}
		if err := h.observe(k, ctx, r); err != nil {
			return err
		}
	}
	return nil
}
