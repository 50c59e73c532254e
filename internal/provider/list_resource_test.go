package provider

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// kinds are the resources that can be listed: all.
func (r *rpc) kinds() []string {
	var kinds []string
	for kind := range r.types {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// lists is the server, as a Terraform sees it that knows lists.
func (r *rpc) lists() tfprotov6.ListResourceServer {
	r.t.Helper()
	lists, ok := r.server.(tfprotov6.ListResourceServer)
	if !ok {
		r.t.Fatal("the provider serves no lists")
	}
	return lists
}

func (r *rpc) schemas() *tfprotov6.GetProviderSchemaResponse {
	r.t.Helper()
	schemas, err := r.server.GetProviderSchema(r.t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	r.ok(err, schemas.Diagnostics)
	return schemas
}

// list asks as terraform query does.
func (r *rpc) list(kind string, limit int64, include bool, config map[string]tftypes.Value) []tfprotov6.ListResourceResult {
	r.t.Helper()
	s := r.schemas().ListResourceSchemas[kind]
	if s == nil {
		r.t.Fatalf("%s cannot be listed", kind)
	}
	typ := object(r.t, s.ValueType())
	d := r.dynamic(typ, fill(typ, config))
	valid, err := r.lists().ValidateListResourceConfig(r.t.Context(), &tfprotov6.ValidateListResourceConfigRequest{TypeName: kind, Config: d})
	r.ok(err, valid.Diagnostics)
	stream, err := r.lists().ListResource(r.t.Context(), &tfprotov6.ListResourceRequest{TypeName: kind, Config: d, Limit: limit, IncludeResource: include})
	r.ok(err, nil)
	return slices.Collect(stream.Results)
}

// names are the display names of the results, and errors as "summary: detail".
func names(results []tfprotov6.ListResourceResult) []string {
	all := []string{}
	for _, result := range results {
		if result.DisplayName != "" {
			all = append(all, result.DisplayName)
		}
		for _, d := range result.Diagnostics {
			all = append(all, d.Severity.String()+" "+d.Summary+": "+d.Detail)
		}
	}
	return all
}

// listMesh is a cluster of three nodes with two services and three ports.
func listMesh(t *testing.T) *testMesh {
	t.Helper()
	m := newMesh(t)
	r := m.rpc()
	apply := func(kind string, values map[string]tftypes.Value) {
		r.apply(kind, tftypes.NewValue(r.types[kind], nil), values, nil)
	}
	apply("routingmesh_cluster", map[string]tftypes.Value{"name": str("demo")})
	for _, n := range m.All() {
		apply("routingmesh_node", map[string]tftypes.Value{"cluster_id": str("demo"), "name": str(n.Name), "address": str(n.Address.String()), "ssh": r.sshOf(m, n.Name)})
	}
	for _, name := range []string{"front", "back"} {
		apply("routingmesh_network", map[string]tftypes.Value{"cluster_id": str("demo"), "name": str(name)})
	}
	for _, name := range []string{"web", "api"} {
		apply("routingmesh_service", map[string]tftypes.Value{"cluster_id": str("demo"), "name": str(name), "endpoints": r.endpoints("n1", "n2")})
	}
	for port, service := range map[int]string{8081: "web", 8080: "web", 9090: "api"} {
		apply("routingmesh_published_port", map[string]tftypes.Value{"service_id": str("demo/" + service), "published_port": num(port), "target_port": num(80)})
	}
	return m
}

// TestList_EveryResource: what a list says of a resource is what importing it by the
// identity in the list reads. All lists of a walk ask each node once.
func TestList_EveryResource(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	m.Node("n2").Break(mesh.Problem{Object: mesh.ServiceRef("web"), Text: "A route is missing."})
	m.ResetRequests()
	r := m.rpc()
	want := map[string][]string{
		"routingmesh_cluster":        {"demo"},
		"routingmesh_node":           {"demo/n1", "demo/n2", "demo/n3"},
		"routingmesh_network":        {"demo/back", "demo/front"},
		"routingmesh_service":        {"demo/api", "demo/web"},
		"routingmesh_published_port": {"demo/api/9090/tcp", "demo/web/8080/tcp", "demo/web/8081/tcp"},
	}
	for _, kind := range r.kinds() {
		results := r.list(kind, 100, true, nil)
		if got := names(results); want[kind] != nil && !slices.Equal(got, want[kind]) {
			t.Errorf("%s: %q, want %q", kind, got, want[kind])
		}
		for _, result := range results {
			imported, err := r.server.ImportResourceState(t.Context(), &tfprotov6.ImportResourceStateRequest{TypeName: kind, Identity: result.Identity})
			r.ok(err, imported.Diagnostics)
			state, err := imported.ImportedResources[0].State.Unmarshal(r.types[kind])
			r.ok(err, nil)
			read := r.read(kind, state, result.Identity)
			r.ok(nil, read.Diagnostics)
			if state, err = read.NewState.Unmarshal(r.types[kind]); err != nil {
				t.Fatal(err)
			}
			if listed, err := result.Resource.Unmarshal(r.types[kind]); err != nil || !listed.Equal(state) {
				t.Errorf("%s is listed as\n%s, and read as\n%s (%v)", result.DisplayName, listed, state, err)
			}
		}
		for _, result := range r.list(kind, 100, false, map[string]tftypes.Value{"cluster_id": str("demo")}) {
			if result.Resource != nil || result.Identity == nil {
				t.Errorf("%s: the list has resources that were not asked for, or no identity", result.DisplayName)
			}
		}
	}
	if status, connections := m.TotalRequests(mesh.PathStatus), m.TotalConnections(); status != 3 || connections != 3 {
		t.Errorf("the lists made %d status calls over %d SSH connections, want 3 over 3", status, connections)
	}
}

func TestList_Filters(t *testing.T) {
	t.Parallel()
	r := listMesh(t).rpc()
	const ports = "routingmesh_published_port"
	for name, c := range map[string]struct {
		kind   string
		limit  int64
		config map[string]tftypes.Value
		want   []string
	}{
		"a service":         {kind: ports, limit: 100, config: map[string]tftypes.Value{"service_id": str("demo/web")}, want: []string{"demo/web/8080/tcp", "demo/web/8081/tcp"}},
		"at most two":       {kind: ports, limit: 2, want: []string{"demo/api/9090/tcp", "demo/web/8080/tcp"}},
		"no such service":   {kind: ports, limit: 100, config: map[string]tftypes.Value{"service_id": str("demo/www")}, want: []string{"WARNING No such service"}},
		"another's service": {kind: ports, limit: 100, config: map[string]tftypes.Value{"service_id": str("prod/web")}, want: []string{`ERROR Hosts of another cluster: The provider's hosts hold the cluster "demo", not "prod"`}},
		"another cluster":   {kind: "routingmesh_node", limit: 100, config: map[string]tftypes.Value{"cluster_id": str("prod")}, want: []string{"ERROR Hosts of another cluster"}},
	} {
		got := names(r.list(c.kind, c.limit, true, c.config))
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	s := object(t, r.schemas().ListResourceSchemas[ports].ValueType())
	refused, err := r.lists().ValidateListResourceConfig(t.Context(), &tfprotov6.ValidateListResourceConfigRequest{
		TypeName: ports, Config: r.dynamic(s, fill(s, map[string]tftypes.Value{"service_id": str("web")}))})
	if err != nil || len(refused.Diagnostics) != 1 || refused.Diagnostics[0].Summary != "Invalid service id" {
		t.Errorf("%+v, %v", refused.Diagnostics, err)
	}
}

// TestList_NodeDown: the record knows the node that does not answer, and so does the list.
func TestList_NodeDown(t *testing.T) {
	t.Parallel()
	m := listMesh(t)
	m.Node("n3").SetDown(true)
	if got := names(m.rpc().list("routingmesh_node", 100, true, nil)); !slices.Equal(got, []string{"demo/n1", "demo/n2", "demo/n3"}) {
		t.Errorf("%q", got)
	}
}

// TestList_NoCluster: hosts without a record list nothing; hosts that cannot be asked are an error.
func TestList_NoCluster(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	r := m.rpc()
	for _, kind := range r.kinds() {
		if got := names(r.list(kind, 100, true, nil)); len(got) > 0 {
			t.Errorf("%s: %q", kind, got)
		}
	}
	for _, n := range m.All() {
		n.SetDown(true)
	}
	if got := names(m.rpc().list("routingmesh_node", 100, false, nil)); len(got) != 1 || !strings.HasPrefix(got[0], "ERROR Too few hosts answer") {
		t.Errorf("%q", got)
	}
}
