package provider

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	fwlist "github.com/hashicorp/terraform-plugin-framework/list"
	listschema "github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func newClusterList() fwlist.ListResource {
	return &listing[clusterModel]{kind: "cluster", what: "the cluster of the provider's hosts, or nothing where they have none", find: func(_ context.Context, q *query) []listed[clusterModel] {
		r := &clusterResource{*q.base}
		return []listed[clusterModel]{{
			id: q.cluster(), identity: clusterIdentity{types.StringValue(q.cluster())},
			fill: func(_ context.Context, m *clusterModel) diag.Diagnostics {
				r.read(m, q.snap)
				return nil
			},
		}}
	}}
}

func newNodeList() fwlist.ListResource {
	return &listing[nodeModel]{kind: "node", what: "the nodes of the cluster", find: func(_ context.Context, q *query) []listed[nodeModel] {
		return members(q.cluster(), q.snap.Record.Nodes, mesh.NodeID, func(ctx context.Context, m *nodeModel, n *mesh.Node) diag.Diagnostics {
			return m.read(ctx, q.cluster(), n, q.snap)
		})
	}}
}

func newServiceList() fwlist.ListResource {
	return &listing[serviceModel]{kind: "service", what: "the services of the cluster", find: func(_ context.Context, q *query) []listed[serviceModel] {
		return members(q.cluster(), q.snap.Record.Services, mesh.ServiceID, func(ctx context.Context, m *serviceModel, s *mesh.Service) diag.Diagnostics {
			m.Drift = driftOf(q.snap, mesh.ServiceRef(s.Name))
			return m.fromMesh(ctx, q.cluster(), s)
		})
	}}
}

func newNetworkList() fwlist.ListResource {
	return &listing[networkModel]{kind: "network", what: "the networks of the cluster", find: func(_ context.Context, q *query) []listed[networkModel] {
		networks := maps.Clone(q.snap.Record.Networks)
		maps.DeleteFunc(networks, func(name string, _ *mesh.Network) bool { return !q.snap.Record.HasNetwork(name) })
		return members(q.cluster(), networks, mesh.NetworkID, func(_ context.Context, m *networkModel, n *mesh.Network) diag.Diagnostics {
			m.fromMesh(q.snap.Record, n)
			m.Drift = driftOf(q.snap, mesh.NetworkRef(n.Name))
			return nil
		})
	}}
}

// members lists what has a name of its own in the cluster.
func members[M, O any](cluster string, objects map[string]*O, idOf func(cluster, name string) string, fill func(context.Context, *M, *O) diag.Diagnostics) []listed[M] {
	found := make([]listed[M], 0, len(objects))
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		id := idOf(cluster, name)
		found = append(found, listed[M]{id: id, identity: memberIdentityOf(id), fill: func(ctx context.Context, m *M) diag.Diagnostics {
			return fill(ctx, m, objects[name])
		}})
	}
	return found
}

func newPublishedPortList() fwlist.ListResource {
	return &listing[portModel]{
		kind: "published_port", what: "the published ports of the cluster, or of one of its services",
		more: map[string]listschema.Attribute{
			"service_id": listschema.StringAttribute{
				Optional: true, MarkdownDescription: "Id of the service: `CLUSTER/NAME`, as in `demo/web`. Default: the ports of all services.",
				Validators: []validator.String{serviceIDRule},
			},
		},
		find: listedPorts,
	}
}

func listedPorts(ctx context.Context, q *query) []listed[portModel] {
	of := ""
	if id := q.text(ctx, "service_id"); id != "" {
		var cluster string
		cluster, of, _ = mesh.SplitID(id)
		if cluster != q.cluster() {
			addError(&q.diags, subject{doing: "reading", what: "the service " + id, attributes: []string{"service_id"}}, anotherCluster(q.snap, "service_id", cluster))
			return nil
		}
		if q.snap.Record.Services[of] == nil {
			q.diags.AddWarning("No such service", fmt.Sprintf("The cluster %s has no service %s, so that it has no published ports either.", cluster, of))
		}
	}
	found := []listed[portModel]{}
	for _, p := range slices.SortedFunc(maps.Values(q.snap.Record.Ports), func(a, b *mesh.PublishedPort) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Key().Compare(b.Key()))
	}) {
		if of != "" && p.Service != of {
			continue
		}
		id := mesh.PortID(mesh.ServiceID(q.cluster(), p.Service), p.Key())
		found = append(found, listed[portModel]{id: id, identity: portIdentityOf(id), fill: func(_ context.Context, m *portModel) diag.Diagnostics {
			m.fromMesh(q.cluster(), p)
			m.Drift = driftOf(q.snap, mesh.PortRef(p.Key()))
			return nil
		}})
	}
	return found
}
