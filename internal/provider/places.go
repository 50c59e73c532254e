package provider

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Where a cluster is besides the provider's hosts is kept in the private state
// of the cluster and of the services, and in the addresses of the nodes: before
// a Read says that all is deleted, because the hosts have no record, these are
// asked. The private state has some of the nodes only, since one that has the
// record is enough; a node of the state adds itself.
const (
	placesKey = "places"
	maxPlaces = 8
)

// savedPlace is how a node was reached.
type savedPlace struct {
	Name    string   `json:"name"`
	Address string   `json:"address"`
	SSH     mesh.SSH `json:"ssh"`
}

// setPlaces notes where the record is; r may be nil.
func setPlaces(ctx context.Context, private privateSetter, r *mesh.Record) diag.Diagnostics {
	if r == nil {
		return nil
	}
	saved := []savedPlace{}
	for _, name := range r.NodeNames() {
		if n := r.Nodes[name]; len(saved) < maxPlaces {
			saved = append(saved, savedPlace{name, n.Address.String(), n.SSH})
		}
	}
	text, err := json.Marshal(saved)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Unexpected error", unexpected(err))}
	}
	return private.SetKey(ctx, placesKey, text)
}

// knowPlaces tells the client what setPlaces has noted.
func (b *base) knowPlaces(ctx context.Context, cluster string, private privateGetter) {
	if b.data == nil || b.data.client == nil {
		return
	}
	var saved []savedPlace
	text, _ := private.GetKey(ctx, placesKey)
	if text == nil || json.Unmarshal(text, &saved) != nil {
		return // of a state from before places were noted
	}
	for _, p := range saved {
		n := mesh.Node{Name: p.Name, SSH: p.SSH}
		n.Address, _ = netip.ParseAddr(p.Address)
		b.data.client.RememberNode(cluster, n)
	}
}

// know tells the client what the state knows of the hosts: the keys that they
// are held to, and where else the cluster is. It comes before anything is dialled.
func (r *clusterResource) know(ctx context.Context, state *clusterModel, private privateGetter) {
	r.pin(state.HostKeys)
	if r.data == nil || r.data.client == nil {
		return
	}
	cluster := state.ID.ValueString()
	addresses := make([]string, 0, len(state.HostKeys.Elements()))
	for address := range state.HostKeys.Elements() {
		addresses = append(addresses, address)
	}
	slices.Sort(addresses)
	for _, address := range addresses {
		r.data.client.RememberHost(cluster, address)
	}
	r.knowPlaces(ctx, cluster, private)
}

// know tells the client where the node is.
func (r *nodeResource) know(ctx context.Context, state *nodeModel) {
	if r.data == nil || r.data.client == nil {
		return
	}
	cluster, name, err := mesh.SplitID(state.ID.ValueString())
	n, diags := state.toMesh(ctx)
	if err != nil || diags.HasError() {
		return
	}
	n.Name = name
	if key := state.HostKey.ValueString(); n.SSH.HostKey == "" && r.data.pins {
		n.SSH.HostKey = bareKey(key)
	}
	r.data.client.RememberNode(cluster, n)
}
