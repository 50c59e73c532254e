package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Where a cluster is besides the provider's hosts is kept in the private state of
// every resource of it: before a Read says that all is deleted, or a Delete that
// nothing is left to remove from, because the hosts have no record, these are asked.
// Each resource has its own, for Terraform handles them in any order, and a state may
// have ports only. The private state has some of the nodes only, since one that has
// the record is enough; a node of the state adds itself.
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

// notePlaces notes where the record is; r may be nil. What was noted before is left
// alone where it is the same: a walk of a thousand ports writes nothing.
func (b *base) notePlaces(ctx context.Context, private privateState, r *mesh.Record) diag.Diagnostics {
	if r == nil || b.data == nil {
		return nil
	}
	text, err := b.data.places.of(r)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Unexpected error", unexpected(err))}
	}
	if before, _ := private.GetKey(ctx, placesKey); bytes.Equal(before, text) {
		return nil
	}
	return private.SetKey(ctx, placesKey, text)
}

// knowPlaces tells the client what notePlaces has noted.
func (b *base) knowPlaces(ctx context.Context, cluster string, private privateGetter) {
	if b.data == nil || b.data.client == nil {
		return
	}
	text, _ := private.GetKey(ctx, placesKey)
	var saved []savedPlace
	if text == nil || !b.data.places.news(cluster, text) || json.Unmarshal(text, &saved) != nil {
		return // of a state from before places were noted, or known already
	}
	for _, p := range saved {
		n := mesh.Node{Name: p.Name, SSH: p.SSH}
		n.Address, _ = netip.ParseAddr(p.Address)
		b.data.client.RememberNode(cluster, n)
	}
}

// placesText spares a walk of a thousand resources to write and read the same text a
// thousand times. The zero value is ready.
type placesText struct {
	mu     sync.Mutex
	record *mesh.Record
	text   []byte
	known  map[string]bool // by cluster and text
}

// of is the text for a record.
func (p *placesText) of(r *mesh.Record) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.record == r {
		return p.text, nil
	}
	saved := []savedPlace{}
	for _, name := range r.NodeNames() {
		if n := r.Nodes[name]; len(saved) < maxPlaces {
			saved = append(saved, savedPlace{name, n.Address.String(), n.SSH})
		}
	}
	text, err := json.Marshal(saved)
	if err == nil {
		p.record, p.text = r, text
	}
	return text, err
}

// news tells whether a text of the cluster is the first such one.
func (p *placesText) news(cluster string, text []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := cluster + " " + string(text)
	if p.known[key] {
		return false
	}
	if p.known == nil {
		p.known = map[string]bool{}
	}
	p.known[key] = true
	return true
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

// know tells the client where the node is, and where else the cluster is.
func (r *nodeResource) know(ctx context.Context, state *nodeModel, private privateGetter) {
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
	r.knowPlaces(ctx, cluster, private)
}
