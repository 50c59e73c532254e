//go:build lab

package provider

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// serveRange has an nginx answer with the host's name and the port that it was asked on.
func (l *lab) serveRange(ports []int, hosts ...string) {
	var listen []string
	for _, port := range ports {
		listen = append(listen, fmt.Sprintf("listen %d;", port))
	}
	config := fmt.Sprintf(`pid /tmp/range-nginx.pid; error_log /dev/null; events {} http { access_log off; server { %s return 200 "$hostname:$server_port\n"; } }`, strings.Join(listen, " "))
	for _, h := range hosts {
		l.run(h, fmt.Sprintf("printf %%s '%s' > /tmp/range-nginx.conf && nginx -c /tmp/range-nginx.conf", config))
		l.t.Cleanup(func() { l.run(h, "nginx -c /tmp/range-nginx.conf -s stop; rm -f /tmp/range-nginx.conf") })
	}
}

// TestAccLabPortRange: ranges of ports with a shift, on real hosts, of 20,000 ports by udp. They
// answer through every node, grow and shrink in place, and are gone with the rest.
func TestAccLabPortRange(t *testing.T) {
	l := openLab(t)
	first, backends := l.names()[0], l.names()[1:3]
	l.serveRange([]int{20000, 20499, 20500, 20999, 25000}, backends...)
	// ports leads 10000 and the ones after it to 20000 and the ones after that.
	ports := func(last int) string {
		return l.config(published("http", "web", 10000, fmt.Sprintf("last_port = %d", last), "target_port = 20000"),
			published("many", "web", 10000, "last_port = 29999", `protocol = "udp"`, "target_port = 10000"))
	}
	answered := func(published ...int) {
		t.Helper()
		for _, node := range l.names()[:3] {
			for _, port := range published {
				want := fmt.Sprintf("%s:%d %s:%[2]d", backends[0], port+10000, backends[1])
				if got := l.answers(node, port); got != want {
					t.Errorf("%s:%d is answered by %q, want %q", node, port, got, want)
				}
				if got := l.distinct(l.run(node, fmt.Sprintf("for i in 1 2 3 4; do curl -sS -m 10 http://127.0.0.1:%d/; done", port))); got != want {
					t.Errorf("127.0.0.1:%d of %s is answered by %q, want %q", port, node, got, want)
				}
			}
		}
	}
	closed := func(ports ...int) {
		for _, port := range ports {
			l.run("client", fmt.Sprintf("! curl -sS -m 10 http://%s:%d/ 2>/dev/null", l.Nodes[first].Address, port))
		}
	}
	var began time.Time
	inPlace := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
		plancheck.ExpectResourceAction(thePort, update), plancheck.ExpectResourceAction(theService, noop), plancheck.ExpectResourceAction("routingmesh_published_port.many", noop),
	}}
	again := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"routingmesh": providerserver.NewProtocol6WithError(New("lab")())},
		Steps: []resource.TestStep{
			{Config: ports(10999)},
			{PreConfig: func() {
				answered(10000, 10500, 10999)
				closed(9999, 11000)
				if got := l.run(first, "COLUMNS=200 routingmesh-agent trace 10500"); !strings.Contains(got, "the port becomes 20500") || !strings.Contains(got, ":20500, weight 1: endpoint "+backends[0]+" on node "+backends[0]) {
					t.Errorf("a trace:\n%s", got)
				}
				if got := l.run(first, "COLUMNS=200 routingmesh-agent status"); !strings.Contains(got, "10000-10999/tcp") || !strings.Contains(got, backends[0]+":20000-20999") {
					t.Errorf("the status:\n%s", got)
				}
				// A hole in a range is found and closed by the agent.
				l.run(first, "ipset del routingmesh-tcp 10500; for i in $(seq 60); do ipset test routingmesh-tcp 10500 2>/dev/null && exit 0; sleep 1; done; exit 1")
			}, Config: ports(10999), ConfigPlanChecks: again},
			{PreConfig: func() { began = time.Now() }, Config: ports(29999), ConfigPlanChecks: inPlace},
			{PreConfig: func() {
				// Two plans and an apply, in emulation.
				if took := time.Since(began); took > time.Minute {
					t.Errorf("to grow to 20,000 ports has taken %s", took)
				} else {
					t.Logf("to grow to 20,000 ports has taken %s", took)
				}
				answered(10000, 10500, 15000)
			}, Config: ports(29999), ConfigPlanChecks: again},
			{Config: ports(10499), ConfigPlanChecks: inPlace},
			{PreConfig: func() { answered(10000, 10499); closed(10500, 15000) }, Config: ports(10499), ConfigPlanChecks: again},
			{ResourceName: thePort, ImportState: true, ImportStateVerify: true},
		},
	})
	for _, name := range l.names()[:3] {
		if left := l.run(name, "ip -o link show rmesh0 2>/dev/null; iptables-save 2>/dev/null | grep ROUTINGMESH; ipset list -n | grep routingmesh; ip route show 244.0.0.0/13; ls -d /var/lib/routingmesh 2>/dev/null; true"); left != "" {
			t.Errorf("the destroy left on %s:\n%s", name, left)
		}
	}
}
