package kernel

import (
	"context"
	"errors"
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/link"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/route"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Links to containers. What is in a container's namespace is observed, and nothing tells when
// it changes: the slow timer finds it. That its namespace has gone shows on the mesh's end.
var attachmentHandler = newHandler((*Kernel).observeAttachments, (*Kernel).putAttachment, (*Kernel).removeAttachment).toldBy(linkEvents)

func (k *Kernel) observeAttachments(_ context.Context, r *view) error {
	if r.ns != state.Mesh {
		return nil
	}
	return link.ObserveAttachments(r.space, r.names, r.into)
}

func (k *Kernel) putAttachment(ctx context.Context, old state.Object, want state.Attachment) error {
	mesh, err := k.needMesh()
	if err != nil {
		return err
	}
	if was, ok := old.(state.Attachment); ok && was.Container != want.Container {
		if err := link.RemoveAttachment(mesh, was); err != nil {
			return err
		}
	}
	if err := link.PutAttachment(ctx, mesh, want); err != nil {
		return err
	}
	// What leads to it went with the link that it replaces.
	neigh, way := want.Leads()
	return errors.Join(k.putNeigh(ctx, nil, neigh), k.putRoute(ctx, nil, way))
}

func (k *Kernel) removeAttachment(_ context.Context, a state.Attachment) error {
	mesh, err := k.openMesh()
	if err != nil || mesh == nil {
		return err
	}
	return link.RemoveAttachment(mesh, a)
}

// Attached are the containers that have links to the mesh, by the addresses of their slots:
// those whose process still runs.
func (k *Kernel) Attached() (map[netip.Addr]state.Process, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meshKnown = false
	mesh, err := k.openMesh()
	if err != nil || mesh == nil {
		return nil, err
	}
	names, err := link.Names(mesh)
	if err != nil {
		return nil, err
	}
	found, all := state.State{}, map[netip.Addr]state.Process{}
	if err := link.ObserveAttachments(mesh, names, found); err != nil {
		return nil, err
	}
	for _, o := range found {
		if a, ok := o.(state.Attachment); ok && a.MTU != 0 && netns.Runs(a.Container.PID, a.Container.Start) {
			all[a.Slot] = a.Container
		}
	}
	return all, nil
}

// observeContainers reads the neighbours that the containers are.
func observeContainers(r *view) error {
	var errs []error
	for index, name := range r.names {
		if state.IsSlotLink(name) {
			errs = append(errs, route.ObserveNeighbours(r.space, name, index, r.into))
		}
	}
	return errors.Join(errs...)
}
