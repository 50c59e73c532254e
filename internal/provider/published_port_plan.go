package provider

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (r *portResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	walk, instance := r.data.walk, instanceOf(ctx, req, resp)
	oldCluster, oldService, oldKey, err := mesh.SplitPortID(instance)
	exists := err == nil
	if req.Plan.Raw.IsNull() {
		walk.leave(oldCluster, portOfService(oldService, oldKey))
		return
	}
	var plan portModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	r.planTarget(ctx, req, resp, &plan)
	cluster, service, serviceErr := mesh.SplitID(plan.ServiceID.ValueString())
	p := plan.toMesh(service)
	complete := serviceErr == nil && p.Published != 0 && p.Protocol != ""
	if complete {
		id := mesh.PortID(plan.ServiceID.ValueString(), p.Key())
		if plan.ID.ValueString() != id {
			resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), id)...)
		}
	}
	if exists && (!complete || cluster != oldCluster || service != oldService || p.Key() != oldKey) {
		walk.leave(oldCluster, portOfService(oldService, oldKey))
	}
	if !complete {
		walk.forget(oldCluster, instance)
		addError(&resp.Diagnostics, portSubject("", plan.ServiceID.ValueString(), p.Key()), checkAlone(p))
		return
	}
	if why := walk.openNowhere(cluster, p); why != "" {
		resp.Diagnostics.AddAttributeWarning(path.Root("nodes"), "Published port is open nowhere", why)
	}
	if why := walk.listensNowhere(cluster, p); why != "" && !plan.Listen.IsUnknown() {
		resp.Diagnostics.AddAttributeWarning(path.Root("listen_addresses"), "Published port is closed on some nodes", why)
	}
	warning, err := walk.planPort(cluster, instance, p)
	addError(&resp.Diagnostics, portSubject("", plan.ServiceID.ValueString(), p.Key()), err)
	if warning != "" {
		resp.Diagnostics.AddAttributeWarning(path.Root("published_port"), "Published port is in use", warning)
	}
}

// planTarget fills in the target port that the configuration leaves out: the published one.
func (r *portResource) planTarget(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse, plan *portModel) {
	var config portModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	switch {
	case resp.Diagnostics.HasError() || !config.TargetPort.IsNull():
	case config.PublishedPort.IsNull():
		resp.Diagnostics.AddAttributeError(path.Root("target_port"), "No target port",
			"Without published_port the cluster chooses the port, and the endpoints cannot know it: set target_port to the port on which they listen.")
	default:
		plan.TargetPort = plan.PublishedPort
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("target_port"), plan.TargetPort)...)
	}
}

// checkAlone asks mesh about a port of which the number or the service is not
// known yet.
func checkAlone(p mesh.PublishedPort) error {
	p.Service = "any"
	p.Target = cmp.Or(p.Target, 1)
	p.Mode = cmp.Or(p.Mode, mesh.Ingress)
	if p.Protocol == "" {
		p.Protocol = mesh.UDP // what only udp may have does not fail before it is known
	}
	r := &mesh.Record{Cluster: mesh.Cluster{PublishedPortRange: mesh.DefaultPortRange}, Ports: map[mesh.PortKey]*mesh.PublishedPort{},
		Services: map[string]*mesh.Service{p.Service: {Name: p.Service}}}
	return r.PutPort(&p)
}

// planPort puts a published port into the walk and asks mesh about it.
func (w *walk) planPort(cluster, instance string, p mesh.PublishedPort) (warning string, err error) {
	id, instance := instance, w.instance(instance)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(cluster)
	k := p.Key()
	if k.Protocol == mesh.TCP && w.sshPort != 0 && p.Range().Has(w.sshPort) {
		return "", &mesh.Error{Object: mesh.PortRef(k), Attribute: "published_port", Detail: fmt.Sprintf(
			"Port %d/tcp is the provider's ssh.port: publishing it would cut off every SSH login to the nodes, Terraform's own included.", w.sshPort)}
	}
	// What is not known yet must not be what fails.
	p.Target = cmp.Or(p.Target, k.Port)
	p.Mode = cmp.Or(p.Mode, mesh.Ingress)
	r := &mesh.Record{Cluster: c.planned.Cluster, Nodes: c.nodes(), Ports: c.planned.Ports,
		Services: map[string]*mesh.Service{p.Service: c.service(p.Service)}}
	if !c.settings && c.observed == nil {
		r.Cluster.NodePrefixLength = mesh.DefaultNodePrefixLength // there is room for ports of one number
	}
	ref := portOfService(p.Service, k)
	if holder := c.owners[ref]; holder == instance {
		c.unplan(p.Service, k) // its own, as planned the first time
	}
	if err := r.PutPort(&p); err != nil {
		return "", err
	}
	if !c.claim(ref, instance) {
		return "", twice(mesh.PortRef(k), "published_port", fmt.Sprintf("the port %s of the service %s", k, mesh.ServiceID(cluster, p.Service)))
	}
	if c.observed == nil {
		return "", nil
	}
	return c.portInUse(cluster, id, p), nil
}

// openNowhere warns of a port all of whose nodes are unknown.
func (w *walk) openNowhere(cluster string, p mesh.PublishedPort) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(cluster)
	if p.Nodes == "" || c.observed == nil {
		return ""
	}
	nodes := c.nodes()
	for _, name := range p.Nodes.Names() {
		if nodes[name] != nil {
			return ""
		}
	}
	return fmt.Sprintf("The cluster %s has none of the nodes of the published port %s (%s): it stays closed. If one of them joins in the same apply, ignore this; otherwise correct nodes.",
		cluster, p.Key(), strings.Join(p.Nodes.Names(), ", "))
}

// listensNowhere warns of nodes with no address at which the port is open, of those on which
// it is to be open and whose addresses are known.
func (w *walk) listensNowhere(cluster string, p mesh.PublishedPort) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(cluster)
	if p.Listen == "" || c.observed == nil || p.Listen.HasLoopback() {
		return ""
	}
	var closed []string
	for name := range c.nodes() {
		addresses, known := c.addresses[name]
		if known && p.Nodes.Has(name) && !slices.ContainsFunc(addresses, p.Listen.Has) {
			closed = append(closed, fmt.Sprintf("%s (%s)", name, list(addresses)))
		}
	}
	if len(closed) == 0 {
		return ""
	}
	slices.Sort(closed)
	return fmt.Sprintf("These nodes have none of the listen_addresses of the published port %s (%s): %s. It stays closed there. If that is meant, name the other nodes in nodes; otherwise correct listen_addresses.",
		p.Key().Plain(), strings.Join(p.Listen.AddressTexts(), ", "), strings.Join(closed, ", "))
}

func list(addresses []netip.Addr) string {
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return cmp.Or(strings.Join(texts, " "), "no address")
}

// portInUse warns of a port that the cluster has, by another resource than id.
func (c *plannedCluster) portInUse(cluster, id string, p mesh.PublishedPort) string {
	for _, other := range c.observed.PortsBeside(&p) {
		k := other.Key().Plain()
		old := mesh.PortID(mesh.ServiceID(cluster, other.Service), k)
		planned := c.planned.PortOf(other.Service, k) // then its new addresses and ports have been compared
		switch {
		case id == old:
		case id == "" && other.Service == p.Service && k == p.Key().Plain():
			return renamed("routingmesh_published_port", fmt.Sprintf("The cluster has the published port %s already", old),
				"the port is closed for a moment, and its connections end", fmt.Sprintf("import it (id %q), or choose another published_port", old))
		case planned == nil && !c.leaving[portOfService(other.Service, k)] && p.Overlaps(other):
			return fmt.Sprintf("Service %[2]q of the cluster publishes port %[1]s%[3]s. If that port is destroyed%[4]s in the same apply, ignore this; otherwise choose another published_port. "+
				"If the resource was renamed, add a moved block.", other.Name(), other.Service, openAt(other), narrowed(&p, other))
		}
	}
	return ""
}

// openAt says where a port is open, if that is not everywhere.
func openAt(p *mesh.PublishedPort) string {
	if p.Listen == "" {
		return ""
	}
	return " at " + strings.Join(p.Listen.AddressTexts(), ", ")
}

func narrowed(p, other *mesh.PublishedPort) string {
	if p.IsRange() || other.IsRange() {
		return ", or gets other ports,"
	}
	if p.Listen == "" && other.Listen == "" {
		return ""
	}
	return ", or gets other listen_addresses,"
}

// forget drops what an instance was planned to hold.
func (w *walk) forget(cluster, instance string) {
	if instance == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cluster(cluster).release(instance)
}
