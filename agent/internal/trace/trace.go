package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Trace is the way of a packet on this node to a published port.
type Trace struct {
	Port mesh.PortKey `json:"port"`
	// Node, Service and Mode are as the record has them, "" where it has not.
	Node    string    `json:"node"`
	Service string    `json:"service"`
	Mode    mesh.Mode `json:"mode"`
	// Explained says why the port is not open here when that is as it should be.
	Explained string `json:"explained,omitempty"`
	// Steps are in the order of the packet; a destination is a step of its own.
	// A step that is broken ends the way, one of a destination only its own.
	Steps []Step `json:"steps"`
	// Warnings are the agent's that concern this node or the port.
	Warnings []mesh.Warning `json:"warnings,omitempty"`
}

// Step is one step of the way.
type Step struct {
	Number int    `json:"number"`
	Space  string `json:"space"` // the network namespace: host, mesh; or destination
	Text   string `json:"text"`
	// Counted is what went through here.
	Counted []Count `json:"counted,omitempty"`
	// Details are further lines about it.
	Details []string `json:"details,omitempty"`
	// Broken says what is wrong and what comes of it, "" when nothing is.
	Broken string `json:"broken,omitempty"`
}

// Count is one live counter.
type Count struct {
	Name  string `json:"name"` // packets, connections, …
	Value uint64 `json:"value"`
}

const (
	hostSpace   = "host"
	meshSpace   = "mesh"
	destination = "destination"
)

// Through says whether a packet gets in and to every destination, as far as anybody
// knows.
func (t *Trace) Through() bool { return t.Explained == "" && t.Broken() == nil && len(t.Warnings) == 0 }

// Broken is the first step that is broken, nil when none is.
func (t *Trace) Broken() *Step {
	for i := range t.Steps {
		if t.Steps[i].Broken != "" {
			return &t.Steps[i]
		}
	}
	return nil
}

// tracer builds a Trace.
type tracer struct {
	*Facts
	trace Trace
	port  *mesh.PublishedPort // nil when the record has none such
	key   mesh.PortKey        // the port's: for one of a range, that of the range
	set   string              // the set that lets the port in
	vip   netip.Addr          // where it is sent
	// target is the port that IPVS keeps, of a range.
	target uint16
}

// Of traces a published port.
func Of(f *Facts, key mesh.PortKey) *Trace {
	t := &tracer{Facts: f, trace: Trace{Port: key, Node: f.Node, Steps: []Step{}}, key: key}
	if f.Record != nil {
		if t.port = f.Record.Ports[key]; t.port == nil && key.VIP == 0 {
			t.port = f.Record.PortOver(key)
		}
		if t.port != nil {
			t.trace.Service, t.trace.Mode, t.key = t.port.Service, t.port.Mode, t.port.Key()
		}
	}
	t.trace.Warnings = f.warningsOf(t.key)
	t.set = t.setOf(key)
	if t.trace.Explained = t.notOpen(key); t.trace.Explained != "" {
		return &t.trace
	}
	for _, step := range []func(){t.member, t.jumps, t.translation, t.forward, t.limits, t.link, t.namespace, t.mark, t.server, t.source} {
		if step(); t.trace.Broken() != nil {
			return &t.trace
		}
	}
	t.destinations()
	return &t.trace
}

func (t *tracer) step(space, text string, counted ...Count) *Step {
	t.trace.Steps = append(t.trace.Steps, Step{Number: len(t.trace.Steps) + 1, Space: space, Text: text, Counted: counted})
	return &t.trace.Steps[len(t.trace.Steps)-1]
}

func (t *tracer) broken(space, text, format string, args ...any) {
	t.step(space, text).Broken = fmt.Sprintf(format, args...)
}

const hostTCP = state.SetPrefix + "host-tcp"

// notOpen explains a port that is not open here and should not be.
func (t *tracer) notOpen(key mesh.PortKey) string {
	if t.hasPort(t.set) {
		return "" // whatever the record says, the kernel takes it
	}
	name := key.Plain()
	switch {
	case t.Record == nil:
		return "This host has no record of a cluster, and the mesh has no ports open here."
	case t.self() == nil:
		return fmt.Sprintf("This host only keeps the record of the cluster %s; it is no node of it, so no port is open here.", t.Record.Cluster.Name)
	case t.port == nil:
		return t.notPublished(key)
	case !t.port.Nodes.Has(t.Node):
		return fmt.Sprintf("Port %s is open only on the nodes that it names (nodes of the published port): %s.", name, strings.Join(t.port.Nodes.Names(), ", "))
	case t.At.IsValid() && !t.port.Listen.Has(t.At):
		return fmt.Sprintf("Port %s is not open at %s: the listen_addresses of the published port are %s.", name, t.At, strings.Join(t.port.Listen.AddressTexts(), ", "))
	case t.port.Mode == mesh.Host:
		return t.elsewhere()
	}
	return ""
}

func (t *tracer) notPublished(key mesh.PortKey) string {
	text := fmt.Sprintf("Port %s is not published by the cluster %s: the mesh leaves it alone.", key, t.Record.Cluster.Name)
	twin := mesh.PortKey{Port: key.Port, Protocol: mesh.UDP}
	if key.Protocol == mesh.UDP {
		twin.Protocol = mesh.TCP
	}
	if p := t.Record.PortOver(twin); p != nil {
		text += fmt.Sprintf(" %s is, by service %s: try `routingmesh-agent trace %s`.", twin, p.Service, twin)
	}
	if who := t.listening(key, t.self().Address); len(who) > 0 {
		text += fmt.Sprintf(" %s answers there by itself.", who[0])
	}
	return text
}

// elsewhere is for host mode without an endpoint here; with one, the port should
// be open.
func (t *tracer) elsewhere() string {
	service := t.Record.Services[t.port.Service]
	var nodes []string
	for _, name := range t.Record.LiveEndpoints(service) {
		node := service.Endpoints[name].Node
		if node == t.Node {
			return ""
		}
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	if len(nodes) == 0 {
		return fmt.Sprintf("Port %s is published in host mode, so it is open where service %s has an endpoint, and it has none.", t.port.Key().Plain(), t.port.Service)
	}
	return fmt.Sprintf("Port %s is published in host mode, so it is open only where service %s has an endpoint: on %s, not on %s.",
		t.port.Key().Plain(), t.port.Service, strings.Join(slices.Compact(nodes), ", "), t.Node)
}

func (t *tracer) listening(key mesh.PortKey, at netip.Addr) []string {
	if t.Listening == nil {
		return nil
	}
	who, err := t.Listening(key, at)
	if err != nil {
		return nil // unknown: nothing is said of it
	}
	return who
}
