//go:build lab

package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// TestAccLabListenAddresses: two services have one port number on real hosts, each at its
// side of a node that has two; an address goes from one to the other by an apply.
func TestAccLabListenAddresses(t *testing.T) {
	l := openLab(t)
	first, web, api := l.names()[0], l.names()[1], l.names()[2]
	l.serve(web, api)
	const public = "198.51.100.10"
	private := l.Nodes[first].Address
	l.run(first, "ip addr add "+public+"/32 dev lo")
	l.run("client", "ip route replace "+public+"/32 via "+private)
	t.Cleanup(func() {
		l.run(first, "ip addr del "+public+"/32 dev lo")
		l.run("client", "ip route del "+public+"/32")
	})
	ports := func(ofWeb, ofAPI string) string {
		target := fmt.Sprintf("target_port = %d", backendPort)
		return l.config(service("api", api), published("http", "web", 8080, target, "listen_addresses = ["+ofWeb+"]"), published("api", "api", 8080, target, "listen_addresses = ["+ofAPI+"]"))
	}
	answered := func(publicBy, privateBy, itselfBy string) func() {
		return func() {
			for address, want := range map[string]string{public: publicBy, private: privateBy} {
				if got := l.asked("client", address); got != want {
					t.Errorf("%s:8080 is answered by %q, want %q", address, got, want)
				}
			}
			if got := l.asked(first, "127.0.0.1"); got != itselfBy {
				t.Errorf("127.0.0.1:8080 is answered by %q, want %q", got, itselfBy)
			}
		}
	}
	both := web + " " + api // the endpoints of web are on both
	again := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	before, after := ports(`"198.51.100.0/24"`, `"192.168.200.0/24", "127.0.0.0/8"`), ports(fmt.Sprintf("%q, %q", public, private), `"127.0.0.1"`)
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"routingmesh": providerserver.NewProtocol6WithError(New("lab")())},
		Steps: []resource.TestStep{
			{Config: before},
			{PreConfig: func() {
				answered(both, api, api)()
				for address, want := range map[string]string{public: "service web", private: "service api"} {
					if got := l.run(first, "COLUMNS=200 routingmesh-agent trace "+address+":8080"); !strings.Contains(got, want) || !strings.Contains(got, "among them: "+address) {
						t.Errorf("a trace of %s:\n%s", address, got)
					}
				}
				if got := l.run(first, "COLUMNS=200 routingmesh-agent trace 8080 2>&1 || true"); !strings.Contains(got, "several services publish port 8080/tcp") {
					t.Errorf("a trace of both:\n%s", got)
				}
				if got := l.run(first, "COLUMNS=200 routingmesh-agent status"); !strings.Contains(got, "ingress, at 198.51.100.0/24") || !strings.Contains(got, "ingress, at 127.0.0.0/8 192.168.200.0/24") {
					t.Errorf("the status:\n%s", got)
				}
			}, Config: before, ConfigPlanChecks: again},
			{Config: after, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(thePort, update), plancheck.ExpectResourceAction("routingmesh_published_port.api", update), plancheck.ExpectResourceAction(theService, noop),
			}}},
			{PreConfig: answered(both, both, api), Config: after, ConfigPlanChecks: again},
			{ResourceName: "routingmesh_published_port.api", ImportState: true, ImportStateVerify: true},
		},
	})
	for _, name := range l.names()[:3] {
		if left := l.run(name, "ip -o link show rmesh0 2>/dev/null; iptables-save 2>/dev/null | grep ROUTINGMESH; ls -d /var/lib/routingmesh 2>/dev/null; true"); left != "" {
			t.Errorf("the destroy left on %s:\n%s", name, left)
		}
	}
}

// asked are the distinct answers of port 8080 at an address, asked by a host.
func (l *lab) asked(by, address string) string {
	return l.distinct(l.run(by, fmt.Sprintf("for i in 1 2 3 4 5 6; do curl -sS -m 10 http://%s:8080/; done", address)))
}
