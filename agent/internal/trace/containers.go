package trace

import (
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// container is the way from IPVS to a container of this host.
func (t *tracer) container(step *Step, d kernel.Destination) {
	slot := d.Addr.Addr()
	name := state.SlotLink(slot)
	link, ok := has(t.Facts, state.Attachment{Slot: slot})
	if !ok {
		step.Broken = fmt.Sprintf("There is no link %s to a container: none that fits runs on this node, or its engine cannot be asked (`routingmesh-agent status` shows warnings).", name)
		return
	}
	if link.Fault != "" {
		step.Broken = fmt.Sprintf("The link %s to the container is not as it should be: %s. %s", name, link.Fault, repair)
		return
	}
	if r, ok := t.route(state.Mesh, slot); !ok || r.Dev != name {
		step.Broken = fmt.Sprintf("There is no route to %s over %s in the mesh's namespace. %s", slot, name, repair)
		return
	}
	step.Details = append(step.Details, fmt.Sprintf("%s → the container of process %d, which has %s: what listens there on port %d answers", name, link.Container.PID, slot, d.Addr.Port()))
}
