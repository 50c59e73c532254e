package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
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
//
// The keys of the hosts are there for the same reason: an apply reads no state of the
// cluster, whose host_keys have them, and neither does a second state.
const (
	placesKey   = "places"
	maxPlaces   = 8
	hostKeysKey = "host_keys"
)

// savedPlace is how a node was reached.
type savedPlace struct {
	Name    string   `json:"name"`
	Address string   `json:"address"`
	SSH     mesh.SSH `json:"ssh"`
}

// note notes where the record is, and the keys of the hosts; r may be nil. What was
// noted before is left alone where it is the same: a walk of a thousand ports writes
// nothing.
func (b *base) note(ctx context.Context, private privateState, r *mesh.Record) (diags diag.Diagnostics) {
	if r == nil || b.data == nil || b.data.client == nil {
		return nil
	}
	texts, err := b.data.known.of(r, b.data.client.HostKeys)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Unexpected error", unexpected(err))}
	}
	for key, text := range texts {
		if before, _ := private.GetKey(ctx, key); !bytes.Equal(before, text) {
			diags.Append(private.SetKey(ctx, key, text)...)
		}
	}
	return diags
}

// know tells the client what note has noted, before anything is dialled.
func (b *base) know(ctx context.Context, cluster string, private privateGetter) {
	if b.data == nil || b.data.client == nil {
		return
	}
	var keys map[string]string
	if text, _ := private.GetKey(ctx, hostKeysKey); b.data.pins && text != nil && b.data.known.news(hostKeysKey, text) && json.Unmarshal(text, &keys) == nil {
		for address, key := range keys {
			b.data.client.PinHostKey(address, key)
		}
	}
	text, _ := private.GetKey(ctx, placesKey)
	var saved []savedPlace
	if text == nil || !b.data.known.news(cluster, text) || json.Unmarshal(text, &saved) != nil {
		return // of a state from before places were noted, or known already
	}
	for _, p := range saved {
		n := mesh.Node{Name: p.Name, SSH: p.SSH}
		n.Address, _ = netip.ParseAddr(p.Address)
		b.data.client.RememberNode(cluster, n)
	}
}

// holdToKnown is for changes of what exists: its hosts were met before.
func (b *base) holdToKnown() {
	if b.data != nil && b.data.client != nil && b.data.pins {
		b.data.client.HoldToKnown()
	}
}

// knownTexts spares a walk of a thousand resources to write and read the same texts a
// thousand times. The zero value is ready.
type knownTexts struct {
	mu     sync.Mutex
	record *mesh.Record
	texts  map[string][]byte
	read   map[string]bool // by cluster, or key of the private state, and text
}

// of has the texts for a record by their key in the private state. keys has those of
// the hosts, "" where none is known.
func (p *knownTexts) of(r *mesh.Record, keys func() map[string]string) (map[string][]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.record == r {
		return p.texts, nil
	}
	known := keys()
	maps.DeleteFunc(known, func(_, key string) bool { return key == "" })
	hostKeys, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	saved := []savedPlace{}
	for _, name := range r.NodeNames() {
		if n := r.Nodes[name]; len(saved) < maxPlaces {
			saved = append(saved, savedPlace{name, n.Address.String(), n.SSH})
		}
	}
	places, err := json.Marshal(saved)
	if err != nil {
		return nil, err
	}
	p.record, p.texts = r, map[string][]byte{placesKey: places, hostKeysKey: hostKeys}
	return p.texts, nil
}

// news tells whether a text is the first such one.
func (p *knownTexts) news(of string, text []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := of + " " + string(text)
	if p.read[key] {
		return false
	}
	if p.read == nil {
		p.read = map[string]bool{}
	}
	p.read[key] = true
	return true
}

// knowHosts tells the client what the state knows of the hosts: the keys that they
// are held to, and where else the cluster is. It comes before anything is dialled.
func (r *clusterResource) knowHosts(ctx context.Context, state *clusterModel, private privateGetter) {
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
	r.know(ctx, cluster, private)
}

// knowNode tells the client where the node is, and where else the cluster is.
func (r *nodeResource) knowNode(ctx context.Context, state *nodeModel, private privateGetter) {
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
	r.know(ctx, cluster, private)
}
