package provider

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var _ datasource.DataSourceWithConfigure = (*nodesData)(nil)

// nodesData is the inventory: what the record says, also of nodes that do not answer at the moment.
type nodesData struct{ base }

func newNodesData() datasource.DataSource { return &nodesData{} }

type nodesDataModel struct {
	ClusterID types.String             `tfsdk:"cluster_id"`
	Labels    map[string]string        `tfsdk:"labels"`
	Nodes     map[string]inventoryData `tfsdk:"nodes"`
}

type inventoryData struct {
	ID           string            `tfsdk:"id"`
	Address      string            `tfsdk:"address"`
	MeshAddress  string            `tfsdk:"mesh_address"`
	HostAddress  string            `tfsdk:"host_address"`
	Labels       map[string]string `tfsdk:"labels"`
	Availability string            `tfsdk:"availability"`
	SSH          sshData           `tfsdk:"ssh"`
}

type sshData struct {
	Host    string  `tfsdk:"host"`
	Port    int64   `tfsdk:"port"`
	User    string  `tfsdk:"user"`
	Bastion *string `tfsdk:"bastion"`
}

func (d *nodesData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_nodes"
}

func (d *nodesData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.configure(req.ProviderData, &resp.Diagnostics)
}

func (d *nodesData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The nodes of the cluster that the provider's hosts have, as an inventory for other tools (Ansible, monitoring, a load balancer): names, labels, addresses and how to log in. " +
			"It has the nodes of other Terraform states, too. What it says does not depend on which nodes answer: for that, see the data source `routingmesh_cluster`.\n\n" +
			"It is read while planning. In the configuration that also makes the nodes, give it a `depends_on`, so that the first apply reads it after it has made them.",
		Attributes: map[string]schema.Attribute{
			"labels": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Only nodes that have all of these labels. Default: all nodes.",
			},
			"cluster_id": readText("Id of the cluster: its name, as in `demo`."),
			"nodes": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "The nodes, by name.",
				NestedObject: schema.NestedAttributeObject{Attributes: inventorySchema()},
			},
		},
	}
}

func inventorySchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"id":           readText("Id of the node: `CLUSTER/NAME`."),
		"address":      readText("Underlay address: where published ports are reached."),
		"mesh_address": readText("Address on the mesh side: what endpoints see as the client of ingress connections that came in on this node."),
		"host_address": readText("Address on the host side: where the node's own processes are reached over the overlay."),
		"labels":       readLabels(),
		"availability": readText("`active` or `drain`."),
		"ssh": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "How this provider logs in to the node: its own `ssh`, and the provider's for the rest.",
			Attributes: map[string]schema.Attribute{
				"host":    readText("Name or address of sshd."),
				"port":    readNumber("Port of sshd on the node."),
				"user":    readText("User to log in as."),
				"bastion": readText("Last host before the node, as `user@host:port`. Null for a direct connection."),
			},
		},
	}
}

func (d *nodesData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m nodesDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	ctx, cancel := context.WithTimeout(ctx, DefaultReadTimeout)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	snap := d.observed(ctx, "", &resp.Diagnostics)
	if snap == nil {
		return
	}
	m.ClusterID, m.Nodes = types.StringValue(snap.Record.Cluster.Name), map[string]inventoryData{}
	for name, n := range snap.Record.Nodes {
		if hasLabels(n, m.Labels) {
			m.Nodes[name] = d.inventory(snap.Record.Cluster.Name, n, &resp.Diagnostics)
		}
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func hasLabels(n *mesh.Node, want map[string]string) bool {
	for name, value := range want {
		if has, ok := n.Labels[name]; !ok || has != value {
			return false
		}
	}
	return true
}

func (d *nodesData) inventory(cluster string, n *mesh.Node, diags *diag.Diagnostics) inventoryData {
	return inventoryData{
		ID: mesh.NodeID(cluster, n.Name), Address: n.Address.String(), MeshAddress: n.MeshAddress().String(), HostAddress: n.HostAddress().String(),
		Labels: labelsOf(n), Availability: availabilityText(n.Availability), SSH: d.login(cluster, n, diags),
	}
}

// labelsOf is never null, so that an expression need not ask.
func labelsOf(n *mesh.Node) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, n.Labels)
	return labels
}

func (d *nodesData) login(cluster string, n *mesh.Node, diags *diag.Diagnostics) sshData {
	ep, err := d.data.client.NodeEndpoint(n)
	if err != nil {
		addError(diags, subject{doing: "reading", what: "the node " + mesh.NodeID(cluster, n.Name)}, err)
		return sshData{}
	}
	login := sshData{Host: ep.Host, Port: int64(ep.Port), User: ep.User}
	if ep.Via != nil {
		login.Bastion = new(ep.Via.User + "@" + ep.Via.Address())
	}
	return login
}
