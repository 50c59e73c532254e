package provider

import (
	"encoding/json"
	goflag "flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

var updateGolden = goflag.Bool("update", false, "rewrite the golden files")

// call runs a function as the framework does.
func call(t *testing.T, f function.Function, arguments ...attr.Value) (attr.Value, *function.FuncError) {
	t.Helper()
	var def function.DefinitionResponse
	f.Definition(t.Context(), function.DefinitionRequest{}, &def)
	empty, err := def.Definition.Return.NewResultData(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp := function.RunResponse{Result: empty}
	f.Run(t.Context(), function.RunRequest{Arguments: function.NewArgumentsData(arguments)}, &resp)
	return resp.Result.Value(), resp.Error
}

// upstreamOf calls one of the functions of load balancers; health "null" is null.
func upstreamOf(t *testing.T, f function.Function, service string, port int64, nodes map[string]string, health string) (attr.Value, *function.FuncError) {
	t.Helper()
	elements := map[string]attr.Value{}
	for name, address := range nodes {
		elements[name] = types.StringValue(address)
	}
	address := types.StringValue(health)
	if health == "null" {
		address = types.StringNull()
	}
	return call(t, f, types.StringValue(service), types.Int64Value(port), types.MapValueMust(types.StringType, elements), address)
}

func TestLoadBalancerFunctions_Golden(t *testing.T) {
	t.Parallel()
	nodes := map[string]string{"n2": "192.168.200.11", "n10": "n10.example.com", "n1": "192.168.200.10"}
	for golden, c := range map[string]struct {
		function function.Function
		health   string
	}{
		"haproxy_backend.cfg":         {newHAProxyBackend(), ":10256"},
		"haproxy_backend_connect.cfg": {newHAProxyBackend(), "null"},
		"nginx_upstream.conf":         {newNginxUpstream(), "0.0.0.0:10256"},
		"nginx_upstream_connect.conf": {newNginxUpstream(), ""},
	} {
		v, failed := upstreamOf(t, c.function, "web", 8080, nodes, c.health)
		if failed != nil {
			t.Fatal(failed)
		}
		got, file := v.(types.String).ValueString(), filepath.Join("testdata", "functions", golden)
		if *updateGolden {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || got != string(want) {
			t.Errorf("%s: %v; go test -run Golden -update rewrites it. Now it is:\n%s", file, err, got)
		}
	}
}

func TestLoadBalancerFunctions_Refuse(t *testing.T) {
	t.Parallel()
	one := map[string]string{"n1": "192.168.200.10"}
	at := func(address string) map[string]string { return map[string]string{"n1": address} }
	for _, c := range []struct {
		service string
		port    int64
		nodes   map[string]string
		health  string
		at      int64
		want    string
	}{
		{"web\n", 80, one, "", argService, `service: "web\n" is no name`},
		{"web {", 80, one, "", argService, "want 1–63"},
		{"", 80, one, "", argService, "is no name"},
		{"web", 0, one, "", argPort, "port must be 1–65535, not 0"},
		{"web", 65536, one, "", argPort, "not 65536"},
		{"web", 80, nil, "", argNodes, "nodes: there is none: pass at least one node"},
		{"web", 80, map[string]string{"n 1": "192.168.200.10"}, "", argNodes, `nodes: "n 1" is no name`},
		{"web", 80, map[string]string{"n1": "192.168.200.10", "n2": "192.168.200.10"}, "", argNodes, "n1 and n2 have the same address"},
		{"web", 80, at("192.168.200.10:80"), "", argNodes, `nodes: node n1: "192.168.200.10:80" is not an IPv4 address or a host name`},
		{"web", 80, at("192.168.200.300"), "", argNodes, "is not an IPv4 address"},
		{"web", 80, at("fd00::1"), "", argNodes, "is an IPv6 address"},
		{"web", 80, at("::ffff:10.0.0.1"), "", argNodes, "is an IPv6 address"},
		{"web", 80, at("n1;"), "", argNodes, "write it without port"},
		{"web", 80, at("n1 check"), "", argNodes, "host name"},
		{"web", 80, at("n1\n    server x 1.1.1.1:1"), "", argNodes, "host name"},
		{"web", 80, at("$n1"), "", argNodes, "host name"},
		{"web", 80, at("n1#"), "", argNodes, "host name"},
		{"web", 80, at("-n1"), "", argNodes, "host name"},
		{"web", 80, at(""), "", argNodes, "host name"},
		{"web", 80, at(strings.Repeat("n.", 127)), "", argNodes, "host name"},
		{"web", 80, one, "10256", argHealthAddress, `health_address: "10256" is no address to listen on: want :PORT`},
		{"web", 80, one, "127.0.0.1:10256", argHealthAddress, `give the cluster health_address = ":10256", or pass ""`},
	} {
		for _, f := range []function.Function{newHAProxyBackend(), newNginxUpstream()} {
			v, failed := upstreamOf(t, f, c.service, c.port, c.nodes, c.health)
			if failed == nil || !strings.Contains(failed.Text, c.want) || failed.FunctionArgument == nil || *failed.FunctionArgument != c.at {
				t.Errorf("%q, %d, %q, %q: %v and %+v, want %q of argument %d", c.service, c.port, c.nodes, c.health, v, failed, c.want, c.at)
			}
		}
	}
}

func TestParseID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"demo":              `{"cluster":"demo","kind":"cluster","name":<null>,"port":<null>,"protocol":<null>,"service":<null>}`,
		"demo/n1":           `{"cluster":"demo","kind":"node_service_or_network","name":"n1","port":<null>,"protocol":<null>,"service":<null>}`,
		"demo/web/8080/tcp": `{"cluster":"demo","kind":"published_port","name":<null>,"port":8080,"protocol":"tcp","service":"web"}`,
		"demo/dns/53/udp":   `{"cluster":"demo","kind":"published_port","name":<null>,"port":53,"protocol":"udp","service":"dns"}`,
	} {
		if v, failed := call(t, newParseID(), types.StringValue(id)); failed != nil || v.String() != want {
			t.Errorf("%s: %v, %v, want %s", id, v, failed, want)
		}
	}
	for _, id := range []string{"", "/", "Demo", "demo/", "/web", "demo/web/8080", "demo/web/8080/sctp", "demo/web/08080/tcp", "demo/web/0/tcp", "demo/web/443/tcp/1", "demo\n"} {
		if v, failed := call(t, newParseID(), types.StringValue(id)); failed == nil || !strings.Contains(failed.Text, "is not a valid id: it must be CLUSTER") {
			t.Errorf("%q: %v, %v", id, v, failed)
		}
	}
}

// TestFunctionsInTerraform calls all of them once, in a configuration that has no
// provider block, and shows what a wrong argument looks like.
func TestFunctionsInTerraform(t *testing.T) {
	t.Parallel()
	needs(t, functionsIn, "1.12") // OpenTofu 1.10 configures the provider for a function: TestModules_MeshOnHosts has a provider block
	w := newMesh(t, "n1").workspace()
	w.write(`
variable "address" { default = "192.168.200.10" }
output "id" { value = provider::routingmesh::parse_id("demo/web/8080/tcp") }
output "haproxy" { value = provider::routingmesh::haproxy_backend("web", 8080, { n1 = var.address, n2 = "n2.example.com" }, ":10256") }
output "nginx" { value = provider::routingmesh::nginx_upstream("web", 8080, { n1 = var.address }, "") }
`)
	w.apply()
	out, _ := w.run("output", "-json")
	var outputs map[string]struct{ Value any }
	if err := json.Unmarshal([]byte(out), &outputs); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same(t, "parse_id", outputs["id"].Value, values{"kind": "published_port", "cluster": "demo", "name": nil, "service": "web", "port": 8080, "protocol": "tcp"})
	for name, want := range map[string]string{"haproxy": "server n2 n2.example.com:8080\n", "nginx": "server 192.168.200.10:8080 max_fails=2"} {
		if text, _ := outputs[name].Value.(string); !strings.Contains(text, want) {
			t.Errorf("%s: %q is missing in:\n%s", name, want, text)
		}
	}
	says(t, w.fails("plan", "-var", "address=192.168.200.10:80"), `Invalid value for "nodes" parameter: nodes: node n1: "192.168.200.10:80" is not an IPv4 address or a host name: write it without port`)
}
