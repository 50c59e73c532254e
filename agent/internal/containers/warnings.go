package containers

import (
	"fmt"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// emptyFor is how long no slot of an endpoint may be filled before that is said: a container
// that is restarted is away for as long as its engine takes.
const emptyFor = 5 * time.Second

// Warnings says which endpoints of this node have no container, and why as far as it is known.
func (k *Keeper) Warnings() []mesh.Warning {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.places) == 0 || !k.ready {
		return nil
	}
	var all []mesh.Warning
	say := func(o mesh.Ref, format string, args ...any) {
		all = append(all, mesh.Warning{Code: mesh.WarnContainers, Object: o, Text: fmt.Sprintf(format, args...)})
	}
	if len(k.filled) < len(k.places) { // else nobody misses what an engine would say
		for _, f := range k.Engines.Faults() {
			say(mesh.NodeRef(k.node), "%s", f.Text)
		}
	}
	now := k.Now()
	for _, key := range k.endpoints() {
		e := k.rec.Services[key.service].Endpoints[key.endpoint]
		since, empty := k.since[key]
		fit, hostNetwork := k.fitting(e.Container)
		switch {
		case empty && now.Sub(since) < emptyFor:
		case empty && hostNetwork != "":
			say(mesh.ServiceRef(key.service), "Endpoint %q of service %q is the %s, and the one that runs (%s) is in the host's network, where it answers as a process: leave container out of that endpoint.",
				key.endpoint, key.service, e.Container, hostNetwork)
		case empty:
			say(mesh.ServiceRef(key.service), "Endpoint %q of service %q has nobody to answer: this node does not run the %s%s. Start one, or take the endpoint out.",
				key.endpoint, key.service, e.Container, k.asked())
		case fit > len(e.Slots):
			say(mesh.ServiceRef(key.service), "Endpoint %q of service %q has %d slots, and %d containers of this node fit (%s): the others get no connections. Give it as many slots.",
				key.endpoint, key.service, len(e.Slots), fit, e.Container)
		}
	}
	return all
}

// fitting counts the containers that fit, and names one that cannot be attached.
func (k *Keeper) fitting(c *mesh.Container) (n int, hostNetwork string) {
	for _, one := range k.Engines.Running() {
		switch {
		case !c.Fits(one.Name, one.Labels):
		case one.HostNetwork:
			hostNetwork = one.Name
		default:
			n++
		}
	}
	return n, hostNetwork
}

// asked says which engines were asked.
func (k *Keeper) asked() string {
	present := k.Engines.Present()
	if len(present) == 0 {
		return " (it has neither Docker's socket nor Podman's: for Podman, run `systemctl enable --now podman.socket`)"
	}
	return fmt.Sprintf(" (asked: %s)", strings.Join(present, ", "))
}
