package provider

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// ValidateConfig asks mesh about the settings together; each alone has its
// validator.
func (r *clusterResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config clusterModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() || config.AddressPool.IsUnknown() || config.NodePrefixLength.IsUnknown() {
		return
	}
	if config.refused() {
		return // a validator has said so
	}
	c := config.toMesh(types.Int64Null())
	c.Name = "any"
	addError(&resp.Diagnostics, clusterSubject("", ""), c.Check())
}

// refused says that a setting by itself is refused by its validator, which a conversion
// to mesh's types would not show.
func (m *clusterModel) refused() bool {
	if _, err := mesh.ParsePool(m.AddressPool.ValueString()); err != nil && !m.AddressPool.IsNull() {
		return true
	}
	for _, setting := range []struct {
		value  types.Int64
		limits mesh.Limits
	}{{m.NodePrefixLength, mesh.NodePrefixLengths}, {m.VXLANPort, mesh.Ports}, {m.VNI, mesh.VNIs}, {m.MTU, mesh.MTUs}, {m.MarkBit, mesh.MarkBits}} {
		if !unset(setting.value) && !setting.limits.Has(setting.value.ValueInt64()) {
			return true
		}
	}
	return false
}

func (r *clusterResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	instance := instanceOf(ctx, req, resp)
	if req.Plan.Raw.IsNull() {
		r.data.walk.leave(instance, mesh.ClusterRef)
		return
	}
	var plan, config clusterModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() || plan.Name.IsUnknown() {
		return
	}
	name := plan.Name.ValueString()
	create := req.State.Raw.IsNull()

	// A cluster that is replaced keeps its name, and so would its id: what
	// hangs on it would not be replaced with it. Unknown, the id carries the
	// replacement on to nodes, services and ports.
	if replaced := create && instance == name; !replaced {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), name)...)
	}
	if config.VNI.IsNull() {
		plan.VNI = types.Int64Value(int64(mesh.DefaultVNI(name)))
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("vni"), plan.VNI)...)
	}
	// An MTU that was configured and is no longer: back to the nodes' own.
	if config.MTU.IsNull() && !create && mtuConfigured(ctx, req.Private) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("mtu"), types.Int64Unknown())...)
	}
	r.check(&plan, config.MTU, instance, create, &resp.Diagnostics)
}

func (r *clusterResource) check(plan *clusterModel, mtu types.Int64, instance string, create bool, diags *diag.Diagnostics) {
	settings := !plan.AddressPool.IsUnknown() && !plan.NodePrefixLength.IsUnknown() && !plan.VXLANPort.IsUnknown()
	warnings, err := r.data.walk.planCluster(instance, plan.toMesh(mtu), settings, create)
	if err == nil && create && settings {
		err = hostsInPool(r.data.hosts, plan.toMesh(mtu))
	}
	addError(diags, clusterSubject("", plan.Name.ValueString()), err)
	for _, w := range warnings {
		diags.AddAttributeWarning(path.Root(w.Attribute), "Port is published", w.Detail)
	}
}

// planCluster puts the cluster's settings into the walk. The warnings are about
// ports that others have published.
func (w *walk) planCluster(instance string, settings mesh.Cluster, known, create bool) (warnings []*mesh.Error, err error) {
	instance = w.instance(instance)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(settings.Name)
	for name, other := range w.clusters {
		if holder := other.owners[mesh.ClusterRef]; holder != "" && holder != instance {
			if name == settings.Name {
				return nil, twice(mesh.ClusterRef, "name", "the cluster "+name)
			}
			return nil, &mesh.Error{Object: mesh.ClusterRef, Attribute: "name", Detail: fmt.Sprintf(
				"The cluster %q is planned on the same hosts, and a host belongs to one cluster. "+
					"Give this one its own hosts, in a second provider block with an alias.", name)}
		}
	}
	c.claim(mesh.ClusterRef, instance)
	c.created = c.created || create
	if !known {
		return nil, nil
	}
	c.planned.Cluster, c.settings = settings, true
	if n := len(c.planned.Nodes); n > settings.Capacity() {
		return nil, &mesh.Error{Object: mesh.ClusterRef, Attribute: "node_prefix_length", Detail: fmt.Sprintf(
			"The address pool %s has room for %d nodes of /%d each, and %d are planned. Take a larger pool or a longer node_prefix_length.",
			settings.AddressPool, settings.Capacity(), settings.NodePrefixLength, n)}
	}
	for _, name := range c.planned.NodeNames() {
		if n := c.planned.Nodes[name]; settings.AddressPool.Contains(n.Address) { // planned before the cluster
			return nil, inPool(settings, "the underlay address of node "+name, n.Address)
		}
	}
	return c.publishedOwn(settings), nil
}

// hostsInPool refuses a pool with the address of a host in it: the overlay's
// route would lead away from that host.
func hostsInPool(hosts []string, c mesh.Cluster) error {
	for _, entry := range hosts {
		if a, ok := sshdial.TargetAddress(entry); ok && c.AddressPool.Contains(a) {
			return inPool(c, "the host "+entry+" of the provider", a)
		}
	}
	return nil
}

func inPool(c mesh.Cluster, what string, a netip.Addr) error {
	return &mesh.Error{Object: mesh.ClusterRef, Attribute: "address_pool", Detail: fmt.Sprintf(
		"The address pool %s contains %s, which is %s: the overlay's route would lead away from it. Choose a pool that no host uses.", c.AddressPool, a, what)}
}

// publishedOwn warns of the cluster's own ports that are published as it is, and
// not removed by this walk.
func (c *plannedCluster) publishedOwn(settings mesh.Cluster) []*mesh.Error {
	var warnings []*mesh.Error
	check := func(attribute string, k mesh.PortKey, consequence string) {
		if c.observed == nil {
			return
		}
		for _, p := range c.observed.PortsOver(k) {
			if !c.leaving[portOfService(p.Service, p.Key())] {
				warnings = append(warnings, &mesh.Error{Object: mesh.ClusterRef, Attribute: attribute, Detail: fmt.Sprintf(
					"Port %s is published by service %q, so %s. Remove that port in the same plan, or choose another %s.", k, p.Service, consequence, attribute)})
			}
		}
	}
	check("vxlan_port", mesh.PortKey{Port: settings.VXLANPort, Protocol: mesh.UDP}, "the nodes are cut off from each other")
	for attribute, address := range map[string]string{"health_address": settings.HealthAddress, "metrics_address": settings.MetricsAddress} {
		if listen, err := mesh.ListenAddress(address, netip.Addr{}); err == nil {
			check(attribute, mesh.PortKey{Port: listen.Port(), Protocol: mesh.TCP}, "this will fail")
		}
	}
	return warnings
}

// The record tells a configured MTU from a computed one; the state does not,
// so it is noted beside it.
const mtuKey = "mtu_configured"

type privateSetter interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

type privateGetter interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}

type privateState interface {
	privateGetter
	privateSetter
}

func setMTUConfigured(ctx context.Context, private privateSetter, configured bool) diag.Diagnostics {
	return private.SetKey(ctx, mtuKey, fmt.Appendf(nil, "%t", configured))
}

func mtuConfigured(ctx context.Context, private privateGetter) bool {
	value, _ := private.GetKey(ctx, mtuKey)
	return string(value) == "true"
}

// settle fills in what is still unknown once the change is through.
func (m *clusterModel) settle(hostKeys types.Map) {
	if m.HostKeys.IsUnknown() {
		m.HostKeys = hostKeys
	}
	if m.MTU.IsUnknown() {
		m.MTU = types.Int64Null()
	}
	if m.VNI.IsUnknown() {
		m.VNI = types.Int64Null()
	}
}

// pin holds the hosts to the keys in the state, before anything is dialled.
func (r *clusterResource) pin(keys types.Map) {
	if r.data == nil || r.data.client == nil || !r.data.pins {
		return
	}
	for address, v := range keys.Elements() {
		if key, ok := v.(types.String); ok {
			r.data.client.PinHostKey(address, key.ValueString())
		}
	}
}

// hostKeys are the keys of the hosts and bastions that were connected to, and those in
// the state of which that could not be done. After a read (all) one that is no longer
// on any way is no longer named by the provider, and loses its pin.
func (r *clusterResource) hostKeys(state types.Map, all bool) types.Map {
	if r.data == nil || r.data.client == nil {
		return types.MapNull(types.StringType)
	}
	current := r.data.client.HostKeys()
	keys := map[string]attr.Value{}
	for address, key := range state.Elements() {
		if _, named := current[address]; named || !all {
			keys[address] = key
		}
	}
	for address, key := range current {
		if key != "" {
			keys[address] = types.StringValue(key)
		}
	}
	return types.MapValueMust(types.StringType, keys)
}
