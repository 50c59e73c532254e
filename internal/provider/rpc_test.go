package provider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// rpc speaks the protocol to a configured provider as Terraform does: for what
// the CLI at hand does not send (identities), and for what it would take
// minutes over (hundreds of resources).
type rpc struct {
	t          *testing.T
	server     tfprotov6.ProviderServer
	types      map[string]tftypes.Object
	identities map[string]tftypes.Object
}

func (m *testMesh) rpc() *rpc {
	m.t.Helper()
	server, err := m.factories["routingmesh"]()
	if err != nil {
		m.t.Fatal(err)
	}
	r := &rpc{t: m.t, server: server, types: map[string]tftypes.Object{}, identities: map[string]tftypes.Object{}}
	ctx := m.t.Context()
	schemas, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	r.ok(err, schemas.Diagnostics)
	for name, s := range schemas.ResourceSchemas {
		r.types[name] = object(r.t, s.ValueType())
	}
	identities, err := server.GetResourceIdentitySchemas(ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	r.ok(err, identities.Diagnostics)
	for name, s := range identities.IdentitySchemas {
		r.identities[name] = object(r.t, s.ValueType())
	}
	provider := object(r.t, schemas.Provider.ValueType())
	ssh := object(r.t, provider.AttributeTypes["ssh"])
	var hosts []tftypes.Value
	for _, h := range m.Hosts(m.hosts()...) {
		hosts = append(hosts, tftypes.NewValue(tftypes.String, h))
	}
	known := tftypes.NewValue(ssh.AttributeTypes["known_hosts"], []tftypes.Value{str(m.knownHosts())})
	config := fill(provider, map[string]tftypes.Value{
		"hosts": tftypes.NewValue(provider.AttributeTypes["hosts"], hosts),
		"ssh":   fill(ssh, map[string]tftypes.Value{"private_key": tftypes.NewValue(tftypes.String, m.PrivateKey), "agent": tftypes.NewValue(tftypes.Bool, false), "timeout": str("5s"), "known_hosts": known}),
	})
	resp, err := server.ConfigureProvider(ctx, &tfprotov6.ConfigureProviderRequest{TerraformVersion: "1.14.0", Config: r.dynamic(provider, config)})
	r.ok(err, resp.Diagnostics)
	return r
}

// knownHosts is a file with the keys of all hosts: these calls hand on no private state, where a state's pins are.
func (m *testMesh) knownHosts() string {
	m.t.Helper()
	var lines strings.Builder
	for _, n := range m.All() {
		fmt.Fprintf(&lines, "[127.0.0.1]:%d %s\n", n.Port(), n.HostKey)
	}
	file := filepath.Join(m.t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return file
}

func object(t *testing.T, typ tftypes.Type) tftypes.Object {
	t.Helper()
	o, ok := typ.(tftypes.Object)
	if !ok {
		t.Fatalf("%s is no object", typ)
	}
	return o
}

// fill makes an object of the values, null where there is none.
func fill(typ tftypes.Object, values map[string]tftypes.Value) tftypes.Value {
	all := map[string]tftypes.Value{}
	for name, t := range typ.AttributeTypes {
		all[name] = tftypes.NewValue(t, nil)
		if v, ok := values[name]; ok {
			all[name] = v
		}
	}
	return tftypes.NewValue(typ, all)
}

func (r *rpc) dynamic(typ tftypes.Type, v tftypes.Value) *tfprotov6.DynamicValue {
	r.t.Helper()
	d, err := tfprotov6.NewDynamicValue(typ, v)
	if err != nil {
		r.t.Fatal(err)
	}
	return &d
}

func (r *rpc) ok(err error, diags []*tfprotov6.Diagnostic) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, d := range diags {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			r.t.Fatalf("%s: %s", d.Summary, d.Detail)
		}
	}
}

// plan returns what comes out of a configuration, and the diagnostics.
func (r *rpc) plan(kind string, prior, config tftypes.Value, identity *tfprotov6.ResourceIdentityData, private []byte) *tfprotov6.PlanResourceChangeResponse {
	typ := r.types[kind]
	resp, err := r.server.PlanResourceChange(context.Background(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: kind, PriorState: r.dynamic(typ, prior), ProposedNewState: r.dynamic(typ, proposed(typ, prior, config)), Config: r.dynamic(typ, config),
		PriorPrivate: private, PriorIdentity: identity,
	})
	if err != nil {
		r.t.Error(err)
	}
	return resp
}

// proposed is what Terraform proposes: the configuration, and what it leaves
// open as it was. The schemas have nothing computed in nested attributes.
func proposed(typ tftypes.Object, prior, config tftypes.Value) tftypes.Value {
	if config.IsNull() {
		return config
	}
	var old, written map[string]tftypes.Value
	_ = config.As(&written) // an object by construction
	values := map[string]tftypes.Value{}
	if !prior.IsNull() {
		_ = prior.As(&old)
	}
	for name := range typ.AttributeTypes {
		values[name] = written[name]
		if was, ok := old[name]; ok && written[name].IsNull() && name != "timeouts" && name != "ssh" && name != "labels" {
			values[name] = was
		}
	}
	return tftypes.NewValue(typ, values)
}

// apply plans and applies, and returns the new state and identity.
func (r *rpc) apply(kind string, prior tftypes.Value, values map[string]tftypes.Value, identity *tfprotov6.ResourceIdentityData) (tftypes.Value, *tfprotov6.ResourceIdentityData) {
	r.t.Helper()
	typ := r.types[kind]
	config := tftypes.NewValue(typ, nil)
	if values != nil {
		config = fill(typ, values)
	}
	p := r.plan(kind, prior, config, identity, nil)
	r.ok(nil, p.Diagnostics)
	resp, err := r.server.ApplyResourceChange(r.t.Context(), &tfprotov6.ApplyResourceChangeRequest{
		TypeName: kind, PriorState: r.dynamic(typ, prior), PlannedState: p.PlannedState, Config: r.dynamic(typ, config),
		PlannedPrivate: p.PlannedPrivate, PlannedIdentity: p.PlannedIdentity,
	})
	r.ok(err, resp.Diagnostics)
	state, err := resp.NewState.Unmarshal(typ)
	r.ok(err, nil)
	return state, resp.NewIdentity
}

func (r *rpc) read(kind string, state tftypes.Value, identity *tfprotov6.ResourceIdentityData) *tfprotov6.ReadResourceResponse {
	resp, err := r.server.ReadResource(context.Background(), &tfprotov6.ReadResourceRequest{
		TypeName: kind, CurrentState: r.dynamic(r.types[kind], state), CurrentIdentity: identity,
	})
	if err != nil {
		r.t.Error(err)
	}
	return resp
}

// identity checks the identity that a call has returned.
func (r *rpc) identity(call, kind string, got *tfprotov6.ResourceIdentityData, want map[string]tftypes.Value) {
	r.t.Helper()
	if got == nil || got.IdentityData == nil {
		r.t.Errorf("%s of a %s returns no identity", call, kind)
		return
	}
	v, err := got.IdentityData.Unmarshal(r.identities[kind])
	if err != nil || !v.Equal(fill(r.identities[kind], want)) {
		r.t.Errorf("%s of a %s returns the identity %s (%v)", call, kind, v, err)
	}
}

func str(s string) tftypes.Value { return tftypes.NewValue(tftypes.String, s) }
func num(n int) tftypes.Value    { return tftypes.NewValue(tftypes.Number, n) }

var noDrift = tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, []tftypes.Value{})

// sshOf is the ssh of a node's configuration.
func (r *rpc) sshOf(m *testMesh, name string) tftypes.Value {
	typ := object(r.t, r.types["routingmesh_node"].AttributeTypes["ssh"])
	return fill(typ, map[string]tftypes.Value{"host": str("127.0.0.1"), "port": num(int(m.Node(name).Port()))})
}

func (r *rpc) endpoints(nodes ...string) tftypes.Value {
	typ, ok := r.types["routingmesh_service"].AttributeTypes["endpoints"].(tftypes.Map)
	if !ok {
		r.t.Fatal("endpoints is no map")
	}
	values := map[string]tftypes.Value{}
	for _, n := range nodes {
		values[n] = fill(object(r.t, typ.ElementType), map[string]tftypes.Value{"node": str(n)})
	}
	return tftypes.NewValue(typ, values)
}

// TestIdentity: set by create, read, update and import, whatever CLI asks.
func TestIdentity(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	r := m.rpc()
	type member struct {
		kind             string
		identity, values map[string]tftypes.Value
		changed          string
		to               tftypes.Value
		state            tftypes.Value
		known            *tfprotov6.ResourceIdentityData
	}
	members := []*member{
		{kind: "routingmesh_cluster", identity: map[string]tftypes.Value{"name": str("demo")}, values: map[string]tftypes.Value{"name": str("demo")}, changed: "vxlan_port", to: num(4790)},
		{
			kind: "routingmesh_node", identity: map[string]tftypes.Value{"cluster": str("demo"), "name": str("n1")},
			values:  map[string]tftypes.Value{"cluster_id": str("demo"), "name": str("n1"), "address": str("192.0.2.11"), "ssh": r.sshOf(m, "n1")},
			changed: "labels", to: tftypes.NewValue(tftypes.Map{ElementType: tftypes.String}, map[string]tftypes.Value{"a": str("b")}),
		},
		{
			kind: "routingmesh_network", identity: map[string]tftypes.Value{"cluster": str("demo"), "name": str("backend")},
			values:  map[string]tftypes.Value{"cluster_id": str("demo"), "name": str("backend")},
			changed: "hosts", to: tftypes.NewValue(tftypes.Set{ElementType: tftypes.String}, []tftypes.Value{str("n1")}),
		},
		{
			kind: "routingmesh_service", identity: map[string]tftypes.Value{"cluster": str("demo"), "name": str("web")},
			values: map[string]tftypes.Value{"cluster_id": str("demo"), "name": str("web"), "endpoints": r.endpoints("n1")}, changed: "endpoints", to: r.endpoints(),
		},
		{
			kind:     "routingmesh_published_port",
			identity: map[string]tftypes.Value{"cluster": str("demo"), "service": str("web"), "published_port": num(8080), "protocol": str("tcp")},
			values:   map[string]tftypes.Value{"service_id": str("demo/web"), "published_port": num(8080), "target_port": num(80)}, changed: "target_port", to: num(81),
		},
	}
	for _, c := range members {
		c.state, c.known = r.apply(c.kind, tftypes.NewValue(r.types[c.kind], nil), c.values, nil)
		r.identity("create", c.kind, c.known, c.identity)

		read := r.read(c.kind, c.state, nil) // as from a CLI that knows no identity
		r.ok(nil, read.Diagnostics)
		r.identity("read", c.kind, read.NewIdentity, c.identity)

		r = m.rpc() // a walk plans a resource once
		c.values[c.changed] = c.to
		var changed *tfprotov6.ResourceIdentityData
		c.state, changed = r.apply(c.kind, c.state, c.values, c.known)
		r.identity("update", c.kind, changed, c.identity)

		imported, err := r.server.ImportResourceState(t.Context(), &tfprotov6.ImportResourceStateRequest{TypeName: c.kind, Identity: c.known})
		r.ok(err, imported.Diagnostics)
		r.identity("import", c.kind, imported.ImportedResources[0].Identity, c.identity)
		state, err := imported.ImportedResources[0].State.Unmarshal(r.types[c.kind])
		r.ok(err, nil)
		read = r.read(c.kind, state, imported.ImportedResources[0].Identity)
		r.ok(nil, read.Diagnostics)
		if state, err = read.NewState.Unmarshal(r.types[c.kind]); err != nil || !state.Equal(c.state) {
			t.Errorf("%s imported by its identity is %s, want %s (%v)", c.kind, state, c.state, err)
		}
	}
	r = m.rpc()
	for _, c := range slices.Backward(members) {
		r.apply(c.kind, c.state, nil, c.known)
	}
}

// TestPlanningFiveHundredResources: one status call and one SSH connection per
// node, however many resources.
func TestPlanningFiveHundredResources(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	r := m.rpc()
	none := func(kind string) tftypes.Value { return tftypes.NewValue(r.types[kind], nil) }
	r.apply("routingmesh_cluster", none("routingmesh_cluster"), map[string]tftypes.Value{"name": str("demo")}, nil)
	for _, n := range m.All() {
		r.apply("routingmesh_node", none("routingmesh_node"), map[string]tftypes.Value{
			"cluster_id": str("demo"), "name": str(n.Name), "address": str(n.Address.String()), "ssh": r.sshOf(m, n.Name)}, nil)
	}
	r.apply("routingmesh_service", none("routingmesh_service"), map[string]tftypes.Value{
		"cluster_id": str("demo"), "name": str("web"), "endpoints": r.endpoints("n1", "n2")}, nil)
	record := m.record().Clone()
	for port := uint16(9000); port < 9500; port++ {
		if err := record.PutPort(&mesh.PublishedPort{Service: "web", Published: port, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range m.All() {
		n.SetRecord(record, n.Name)
	}

	r = m.rpc() // the next command
	m.ResetRequests()
	kind := "routingmesh_published_port"
	slots := make(chan bool, 10) // as Terraform's -parallelism
	var all sync.WaitGroup
	for port := 9000; port < 9500; port++ {
		slots <- true
		all.Go(func() {
			defer func() { <-slots }()
			config := map[string]tftypes.Value{"service_id": str("demo/web"), "published_port": num(port), "target_port": num(80)}
			state := fill(r.types[kind], map[string]tftypes.Value{
				"id": str(fmt.Sprintf("demo/web/%d/tcp", port)), "service_id": str("demo/web"), "published_port": num(port), "target_port": num(80),
				"protocol": str("tcp"), "mode": str("ingress"), "locality": str("any"), "one_packet": tftypes.NewValue(tftypes.Bool, false), "drift": noDrift,
			})
			read := r.read(kind, state, nil)
			plan := r.plan(kind, state, fill(r.types[kind], config), read.NewIdentity, read.Private)
			if len(read.Diagnostics)+len(plan.Diagnostics) > 0 || string(plan.PlannedState.MsgPack) != string(read.NewState.MsgPack) {
				t.Errorf("port %d: %v %v", port, read.Diagnostics, plan.Diagnostics)
			}
		})
	}
	all.Wait()
	if status, connections := m.TotalRequests(mesh.PathStatus), m.TotalConnections(); status != 3 || connections != 3 {
		t.Errorf("planning 500 resources on 3 nodes made %d status calls over %d SSH connections, want 3 over 3", status, connections)
	}
}

// TestWarningsOfARead: one about the node that is down, from its own resource;
// and Terraform keeps what it knows, but for the drift.
func TestWarningsOfARead(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	r := m.rpc()
	none := func(kind string) tftypes.Value { return tftypes.NewValue(r.types[kind], nil) }
	r.apply("routingmesh_cluster", none("routingmesh_cluster"), map[string]tftypes.Value{"name": str("demo")}, nil)
	states := map[string]tftypes.Value{}
	for _, n := range m.All() {
		states[n.Name], _ = r.apply("routingmesh_node", none("routingmesh_node"), map[string]tftypes.Value{
			"cluster_id": str("demo"), "name": str(n.Name), "address": str(n.Address.String()), "ssh": r.sshOf(m, n.Name)}, nil)
	}
	m.Node("n3").SetDown(true)
	r = m.rpc()
	for name, state := range states {
		read := r.read("routingmesh_node", state, nil)
		r.ok(nil, read.Diagnostics)
		want := state
		if name == "n3" {
			want = with(state, "drift", tftypes.NewValue(noDrift.Type(), []tftypes.Value{str("node n3: cannot be reached over SSH; it serves what it last had.")}))
		}
		if after, err := read.NewState.Unmarshal(r.types["routingmesh_node"]); err != nil || !after.Equal(want) {
			t.Errorf("the state of %s was not kept: %s (%v)", name, after, err)
		}
		switch {
		case name != "n3" && len(read.Diagnostics) != 0:
			t.Errorf("reading %s warns: %v", name, read.Diagnostics)
		case name == "n3" && (len(read.Diagnostics) != 1 || !strings.Contains(read.Diagnostics[0].Summary, "Node n3")):
			t.Errorf("reading %s: %v, want one warning that names it", name, read.Diagnostics)
		}
	}
}

// with returns the object with another value of one attribute.
func with(object tftypes.Value, name string, v tftypes.Value) tftypes.Value {
	var values map[string]tftypes.Value
	_ = object.As(&values) // an object by construction
	values[name] = v
	return tftypes.NewValue(object.Type(), values)
}

// TestDestroyLeavesAnothersPort: a port that another service has taken over
// since is not closed with the old resource, not even without a refresh.
func TestDestroyLeavesAnothersPort(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	r := m.rpc()
	cluster, node, kind := "routingmesh_cluster", "routingmesh_node", "routingmesh_published_port"
	r.apply(cluster, tftypes.NewValue(r.types[cluster], nil), map[string]tftypes.Value{"name": str("demo")}, nil)
	r.apply(node, tftypes.NewValue(r.types[node], nil), map[string]tftypes.Value{
		"cluster_id": str("demo"), "name": str("n1"), "address": str("192.0.2.11"), "ssh": r.sshOf(m, "n1")}, nil)
	record := m.record().Clone()
	for _, err := range []error{
		record.PutService(&mesh.Service{Name: "web"}), record.PutService(&mesh.Service{Name: "api"}),
		record.PutPort(&mesh.PublishedPort{Service: "api", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m.Node("n1").SetRecord(record, "n1")
	r = m.rpc()
	identity := &tfprotov6.ResourceIdentityData{IdentityData: r.dynamic(r.identities[kind], fill(r.identities[kind], map[string]tftypes.Value{
		"cluster": str("demo"), "service": str("web"), "published_port": num(8080), "protocol": str("tcp")}))}
	r.apply(kind, fill(r.types[kind], map[string]tftypes.Value{
		"id": str("demo/web/8080/tcp"), "service_id": str("demo/web"), "published_port": num(8080), "target_port": num(80),
		"protocol": str("tcp"), "mode": str("ingress"),
	}), nil, identity)
	if p := m.record().Ports[web8080]; p == nil || p.Service != "api" {
		t.Errorf("the port of api is %v after web's was destroyed", p)
	}
}
