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

// networksConfig is the networks back and apart. web (Docker, on the second node), db (Podman, on the
// third) and api (a process of the first) are in back, cache (Docker) is in apart.
func (l *lab) networksConfig() string {
	n := l.names()
	network := func(name string) string {
		return block("routingmesh_network", name, []string{"cluster_id = routingmesh_cluster.main.id", fmt.Sprintf("name = %q", name)})
	}
	in := func(name, network string, lines ...string) string {
		return block("routingmesh_service", name, append([]string{"cluster_id = routingmesh_cluster.main.id", fmt.Sprintf("name = %q", name),
			fmt.Sprintf("networks = { (routingmesh_network.%s.name) = { aliases = [%q] } }", network, name+"-alias")}, lines...))
	}
	on := func(node, rest string) string {
		return fmt.Sprintf("endpoints = { one = { node = routingmesh_node.%s.name%s } }", node, rest)
	}
	return l.bare(network("back"), network("apart"),
		in("web", "back", on(n[1], ", container = { labels = { app = \"web\" }, slots = 2 }")),
		in("db", "back", on(n[2], ", container = { name = \"db\" }")),
		in("cache", "apart", on(n[1], ", container = { name = \"cache\" }"), `endpoint_mode = "dnsrr"`),
		in("api", "back", on(n[0], ""), `vip_ports = { "80/tcp" = 8000 }`),
		published("http", "web", 8080, "target_port = 80"))
}

// TestAccLabNetworks: containers of Docker and Podman and processes of hosts find each other by
// name, by VIP, and see each other's addresses; what is in another network finds and reaches nothing.
func TestAccLabNetworks(t *testing.T) {
	l := openLab(t)
	host, docker, podman := l.names()[0], l.names()[1], l.names()[2]
	l.image("docker", docker)
	l.image("podman", podman)
	l.process(host, "8000")
	const resolver = "--dns 10.255.255.1 --dns-opt timeout:30" // a query waits while the agent restarts: an emulated one takes seconds
	l.run(docker, "for i in 1 2; do docker run -d --restart always "+resolver+" --name web$i --hostname web$i -l app=web answer; done; docker run -d "+resolver+" --name cache --hostname cache answer")
	l.run(podman, "podman run -d "+resolver+" --name db --hostname db answer")
	for _, node := range []string{docker, podman} {
		l.t.Cleanup(func() { l.run(node, "rm -f /tmp/acc-pid-*") })
	}
	files := l.run(host, "sha256sum /etc/hosts")
	config := l.networksConfig()
	again := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"routingmesh": providerserver.NewProtocol6WithError(New("lab")())},
		Steps: []resource.TestStep{
			{Config: config},
			{PreConfig: func() {
				l.findEachOther()
				l.areApart()
				for _, node := range l.names()[:3] {
					if got := l.answers(node, 8080); !strings.HasPrefix(got, "web1 sees") || !strings.Contains(got, "web2 sees") {
						t.Errorf("the published port through %s: %q", node, got)
					}
				}
			}, Config: config, ConfigPlanChecks: again},
			{PreConfig: func() { l.namesOutliveRestarts(docker) }, Config: config, ConfigPlanChecks: again},
			{ResourceName: "routingmesh_network.back", ImportState: true, ImportStateVerify: true},
			{ResourceName: "routingmesh_service.cache", ImportState: true, ImportStateVerify: true},
		},
	})
	for _, name := range l.names()[:3] {
		if left := l.run(name, "ip -o link show rmesh0 2>/dev/null; iptables-save 2>/dev/null | grep ROUTINGMESH; ls -d /var/lib/routingmesh 2>/dev/null; grep routingmesh /etc/hosts; true"); left != "" {
			t.Errorf("the destroy left on %s:\n%s", name, left)
		}
	}
	if got := l.run(host, "sha256sum /etc/hosts"); got != files {
		t.Errorf("/etc/hosts of %s is another one:\n%s", host, l.run(host, "cat /etc/hosts"))
	}
}

// process has a process of the host answer on the port until the test ends.
func (l *lab) process(host, port string) {
	l.t.Helper()
	l.program(host)
	l.run(host, fmt.Sprintf("systemd-run -q --unit acc-answer-%[1]s /tmp/answer %[1]s", port))
	l.t.Cleanup(func() { l.run(host, fmt.Sprintf("systemctl stop acc-answer-%s; rm -f /tmp/answer", port)) })
}

// asks has somebody ask: a container by its name, or the host. An engine's exec takes ten seconds on an emulated node.
func (l *lab) asks(by, command string) string {
	l.t.Helper()
	if by == "host" {
		return l.run(l.names()[0], "/tmp/answer "+command)
	}
	node, engine := l.names()[1], "docker"
	if by == "db" {
		node, engine = l.names()[2], "podman"
	}
	return l.run(node, fmt.Sprintf(`file=/tmp/acc-pid-%[1]s; pid=$(cat $file 2>/dev/null) || { pid=$(%[2]s inspect -f '{{.State.Pid}}' %[1]s); echo $pid > $file; }; nsenter -t $pid -n -m /answer %[3]s`, by, engine, command))
}

// findEachOther: within a network every name leads to its service.
func (l *lab) findEachOther() {
	l.t.Helper()
	slots := map[string]string{}
	for _, name := range []string{"web", "db", "cache"} {
		of := map[string]string{"web": "web1"}[name]
		if of == "" {
			of = name
		}
		slots[name] = l.asks(of, "lookup tasks."+name)
	}
	for _, c := range []struct{ by, url, want string }{
		{"web1", "db", "db sees WEB"}, {"web1", "db-alias", "db sees WEB"}, {"web1", "tasks.db", "db sees WEB"}, {"web2", "db.demo.internal", "db sees WEB"},
		{"db", "web", "web1 sees DB web2 sees DB"}, {"db", "db-alias", "db sees HAIRPIN"}, // its engine gives a container its own name
		{"web1", "api", "N1 sees WEB"}, {"db", "api", "N1 sees DB"},
		{"host", "web", "web1 sees HOST web2 sees HOST"}, {"host", "db", "db sees HOST"}, {"host", "api", "N1 sees HAIRPIN"},
		{"cache", "cache-alias", "cache sees CACHE"},
	} {
		want := strings.NewReplacer("N1", l.names()[0]).Replace(c.want)
		l.eventuallyAsks(c.by, "get http://"+c.url+"/ 6", want, slots)
	}
}

// eventuallyAsks waits until the answers are the wanted ones, with words for addresses.
func (l *lab) eventuallyAsks(by, command, want string, slots map[string]string) {
	l.t.Helper()
	var got string
	deadline := time.Now().Add(3 * time.Minute)
	for got != want && time.Now().Before(deadline) {
		got = l.distinct(l.worded(l.asks(by, command), slots))
	}
	if got != want {
		l.t.Errorf("%s asks: %s: %q, want %q", by, command, got, want)
	}
}

// worded replaces the addresses in answers.
func (l *lab) worded(text string, slots map[string]string) string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if i := strings.LastIndexByte(line, ' '); i > 0 && strings.HasPrefix(line[i+1:], "10.255.") {
			address := line[i+1:]
			word := "HOST"
			switch {
			case strings.HasSuffix(address, ".7"):
				word = "HAIRPIN"
			case strings.Contains(slots["web"], address):
				word = "WEB"
			case slots["db"] == address:
				word = "DB"
			case slots["cache"] == address:
				word = "CACHE"
			}
			line = line[:i+1] + word
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// areApart: a container of another network finds no name, and its connections are refused.
func (l *lab) areApart() {
	l.t.Helper()
	vip, slot := l.asks("web1", "lookup db"), l.asks("web1", "lookup tasks.db")
	cache := l.asks("cache", "lookup cache-alias")
	for _, c := range []struct{ by, command, want string }{
		{"cache", "get http://db/ 2", "no such name"}, {"cache", "get http://tasks.db/ 2", "no such name"}, {"cache", "get http://db.demo.internal/ 2", "no such name"},
		{"cache", "get http://" + vip + "/ 5", "refused"}, {"cache", "get http://" + slot + "/ 5", "refused"},
		{"web1", "get http://" + cache + "/ 5", "refused"}, {"db", "get http://" + cache + "/ 5", "refused"}, {"host", "get http://" + cache + "/ 5", "refused"},
		{"web1", "get http://db:81/ 3", "refused"},
	} {
		if got := l.distinct(l.asks(c.by, c.command)); got != c.want {
			l.t.Errorf("%s: %s: %q, want %q", c.by, c.command, got, c.want)
		}
	}
}

// namesOutliveRestarts: agents and containers restart under requests by name, and no request of
// those that stay fails.
func (l *lab) namesOutliveRestarts(docker string) {
	l.t.Helper()
	l.run(docker, "rm -f /tmp/asked.stop; (while [ ! -e /tmp/asked.stop ]; do nsenter -t $(cat /tmp/acc-pid-web1) -n -m /answer get http://db/ 5; done > /tmp/asked.names 2>&1; touch /tmp/asked.ended) </dev/null >/dev/null 2>&1 &")
	l.t.Cleanup(func() { l.run(docker, "touch /tmp/asked.stop; rm -f /tmp/asked.names /tmp/asked.ended") })
	for _, node := range l.names()[:3] {
		l.run(node, "systemctl restart routingmesh-agent && kill -9 $(systemctl show -P MainPID routingmesh-agent)")
	}
	l.run(docker, "docker restart -t 0 web2")
	deadline := time.Now().Add(3 * time.Minute)
	for strings.Count(l.asks("db", "lookup tasks.web"), "10.255.") != 2 {
		if time.Now().After(deadline) {
			l.t.Fatal("db does not find both containers of web again")
		}
	}
	l.eventually("the requests end", docker, "touch /tmp/asked.stop; ls /tmp/asked.ended 2>/dev/null; true", func(out string) bool { return out != "" })
	answers := l.run(docker, "cut -d' ' -f1 /tmp/asked.names | sort | uniq -c; grep -v '^db sees' /tmp/asked.names | head -5; true")
	if fields := strings.Fields(answers); len(fields) != 2 || fields[1] != "db" {
		l.t.Errorf("requests by name over restarts of the agents: %s", answers)
	}
}
