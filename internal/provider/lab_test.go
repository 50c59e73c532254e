//go:build lab

// The provider on real nodes. It needs the lab (make lab-up).
package provider

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"golang.org/x/sys/unix"
)

// lab is the running lab, through its contract.
type lab struct {
	t     *testing.T
	dir   string
	Nodes map[string]struct {
		Address string `json:"address"`
		SSH     struct {
			Host string `json:"host"`
			Port int    `json:"port"`
		} `json:"ssh"`
	} `json:"nodes"`
	KeyFile string `json:"private_key_file"`
}

// openLab takes the lab for this test alone.
func openLab(t *testing.T) *lab {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Fatal("acceptance tests change real hosts: set TF_ACC=1, as make testacc does")
	}
	l := &lab{t: t, dir: cmp.Or(os.Getenv("LAB_DIR"), "../../.lab")}
	if !filepath.IsAbs(l.dir) && os.Getenv("LAB_DIR") != "" {
		l.dir = filepath.Join("../..", l.dir)
	}
	dir, err := filepath.Abs(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	l.dir = dir
	vars, err := os.ReadFile(filepath.Join(dir, "lab.auto.tfvars.json"))
	if err != nil {
		t.Fatalf("there is no lab: run make lab-up (%v)", err)
	}
	if err := json.Unmarshal(vars, l); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "use.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return l
}

func (l *lab) names() []string { return slices.Sorted(maps.Keys(l.Nodes)) }

// run runs a script on a host of the lab and returns what it prints.
func (l *lab) run(host, script string) string {
	l.t.Helper()
	cmd := exec.Command("ssh", "-F", filepath.Join(l.dir, "ssh_config"), host, script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Errorf("%s: %s: %v\n%s", host, script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// backendPort is no one else's: the lab's own nginx may run beside this test.
const backendPort = 8085

// serve has an nginx answer with the host's name until the test ends.
func (l *lab) serve(hosts ...string) {
	config := fmt.Sprintf(`pid /tmp/acc-nginx.pid; error_log /dev/null; events {} http { access_log off; server { listen %d; return 200 "$hostname\n"; } }`, backendPort)
	for _, h := range hosts {
		l.run(h, fmt.Sprintf("printf %%s '%s' > /tmp/acc-nginx.conf && nginx -c /tmp/acc-nginx.conf", config))
		l.t.Cleanup(func() { l.run(h, "nginx -c /tmp/acc-nginx.conf -s stop; rm -f /tmp/acc-nginx.conf") })
	}
}

// answers are the distinct answers of a port of a node, asked by the client.
func (l *lab) answers(node string, port int) string {
	return l.distinct(l.run("client", fmt.Sprintf("for i in 1 2 3 4 5 6; do curl -sS -m 10 http://%s:%d/; done", l.Nodes[node].Address, port)))
}

// distinct are the different lines of an output, sorted.
func (l *lab) distinct(out string) string {
	seen := map[string]bool{}
	for line := range strings.Lines(out) {
		seen[strings.TrimSpace(line)] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), " ")
}

func (l *lab) config(ports ...string) string {
	return l.bare(append([]string{service("web", l.names()[1], l.names()[2])}, ports...)...)
}

// bare is a cluster of three nodes, with these blocks.
func (l *lab) bare(blocks ...string) string {
	var hosts, nodes []string
	for _, name := range l.names()[:3] {
		n := l.Nodes[name]
		hosts = append(hosts, fmt.Sprintf("%s:%d", n.SSH.Host, n.SSH.Port))
		nodes = append(nodes, block("routingmesh_node", name, []string{"cluster_id = routingmesh_cluster.main.id", fmt.Sprintf("name = %q", name),
			fmt.Sprintf("address = %q", n.Address), fmt.Sprintf("ssh = { host = %q, port = %d }", n.SSH.Host, n.SSH.Port)}))
	}
	return fmt.Sprintf("provider \"routingmesh\" {\n  hosts = [%s]\n  ssh = { private_key = file(%q), agent = false, known_hosts = [%q], host_key_policy = \"strict\", timeout = \"60s\" }\n}\n",
		quoted(hosts), l.KeyFile, filepath.Join(l.dir, "known_hosts")) +
		cluster() + strings.Join(nodes, "") + strings.Join(blocks, "")
}

// TestAccLabOnePortOnEveryNode is the whole product: from bare hosts to a port
// that every node answers, a second one in place, and back to bare hosts.
func TestAccLabOnePortOnEveryNode(t *testing.T) {
	l := openLab(t)
	backends := l.names()[1:3]
	l.serve(backends...)
	want := strings.Join(backends, " ")
	everyNodeAnswers := func(ports ...int) func() {
		return func() {
			for _, node := range l.names()[:3] {
				for _, port := range ports {
					if got := l.answers(node, port); got != want {
						t.Errorf("%s:%d is answered by %q, want %q", node, port, got, want)
					}
				}
			}
		}
	}
	target := fmt.Sprintf("target_port = %d", backendPort)
	http, more := published("http", "web", 8080, target), published("more", "web", 0, target)
	again := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	node := "routingmesh_node." + l.names()[0]
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"routingmesh": providerserver.NewProtocol6WithError(New("lab")())},
		Steps: []resource.TestStep{
			{
				Config: l.config(http),
				ConfigStateChecks: []statecheck.StateCheck{
					is(node, "drift", knownvalue.ListExact(nil)), is(node, "host_key", knownvalue.NotNull()), is(node, "kernel_release", knownvalue.NotNull()),
					is(theCluster, "mtu", 1450), is(thePort, "id", "demo/web/8080/tcp"),
				},
			},
			{PreConfig: everyNodeAnswers(8080), Config: l.config(http), ConfigPlanChecks: again},
			{
				Config: l.config(http, more),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
					plancheck.ExpectResourceAction("routingmesh_published_port.more", create),
					plancheck.ExpectResourceAction(thePort, noop), plancheck.ExpectResourceAction(theService, noop), plancheck.ExpectResourceAction(node, noop),
				}},
			},
			{PreConfig: everyNodeAnswers(8080, 30000), Config: l.config(http, more), ConfigPlanChecks: again},
			// On one node only, also where it was open: on the others another program has the port.
			{
				Config:           l.config(http, more, published("there", "web", backendPort, target, `nodes = ["`+l.names()[0]+`"]`)),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("routingmesh_published_port.there", create)}},
			},
			{PreConfig: func() {
				for i, want := range []string{want, backends[0], backends[1]} {
					if got := l.answers(l.names()[i], backendPort); got != want {
						t.Errorf("%s:%d is answered by %q, want %q", l.names()[i], backendPort, got, want)
					}
				}
			}, Config: l.config(http, strings.Replace(more, target, target+"\n  nodes = [\""+l.names()[1]+"\"]", 1))},
			{PreConfig: func() {
				if got := l.answers(l.names()[1], 30000); got != want {
					t.Errorf("%s:30000 is answered by %q", l.names()[1], got)
				}
				for _, closed := range []string{l.names()[0], l.names()[2]} {
					l.run("client", fmt.Sprintf("! curl -sS -m 10 http://%s:30000/ 2>/dev/null", l.Nodes[closed].Address))
				}
			}, Config: l.config(http, more)},
			{PreConfig: everyNodeAnswers(8080, 30000), Config: l.config(http, more), ConfigPlanChecks: again},
			{ResourceName: node, ImportState: true, ImportStateVerify: true},
			{ResourceName: thePort, ImportState: true, ImportStateVerify: true},
		},
	})
	for _, name := range l.names()[:3] {
		if left := l.run(name, "ip -o link show rmesh0 2>/dev/null; iptables-save 2>/dev/null | grep ROUTINGMESH; ls -d /var/lib/routingmesh /usr/local/lib/routingmesh 2>/dev/null; true"); left != "" {
			t.Errorf("the destroy left on %s:\n%s", name, left)
		}
	}
}
