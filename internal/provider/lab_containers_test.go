//go:build lab

package provider

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// image puts an image onto a host that has one static program in it: it answers with the
// container's host name and the client's address. No registry is asked.
func (l *lab) image(engine string, hosts ...string) {
	l.t.Helper()
	dir := l.built()
	for _, h := range hosts {
		if out, err := exec.Command("scp", "-q", "-F", filepath.Join(l.dir, "ssh_config"), filepath.Join(dir, "answer.tar"), h+":/tmp/").CombinedOutput(); err != nil {
			l.t.Fatalf("%v\n%s", err, out)
		}
		l.run(h, fmt.Sprintf(`systemctl start %s.socket && %[1]s import -c 'ENTRYPOINT ["/answer"]' /tmp/answer.tar answer && rm /tmp/answer.tar`, engine))
		l.t.Cleanup(func() {
			l.run(h, fmt.Sprintf("%s ps -aq | xargs -r %[1]s rm -f; systemctl stop %[1]s.socket %[1]s.service; ip link del docker0; iptables -P FORWARD ACCEPT; true", engine))
		})
	}
}

// built is a directory with the program of internal/test/answer, and with a tar of it.
func (l *lab) built() string {
	l.t.Helper()
	dir := l.t.TempDir()
	for _, command := range [][]string{
		{"go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "answer"), "../test/answer"},
		{"tar", "-C", dir, "-cf", filepath.Join(dir, "answer.tar"), "answer"},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			l.t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	return dir
}

// program puts the program of internal/test/answer onto a host.
func (l *lab) program(host string) {
	l.t.Helper()
	if out, err := exec.Command("scp", "-q", "-F", filepath.Join(l.dir, "ssh_config"), filepath.Join(l.built(), "answer"), host+":/tmp/").CombinedOutput(); err != nil {
		l.t.Fatalf("%v\n%s", err, out)
	}
}

// eventually waits until a host's script prints what is wanted.
func (l *lab) eventually(what, host, script string, ok func(out string) bool) {
	l.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		out := l.run(host, script)
		if ok(out) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Errorf("%s: %s: %s", what, host, out)
			return
		}
	}
}

// TestAccLabContainers: containers of Docker and Podman answer behind published ports of
// every node, found by labels and by name, and again after whatever happens to them.
func TestAccLabContainers(t *testing.T) {
	l := openLab(t)
	docker, podman := l.names()[1], l.names()[2]
	l.image("docker", docker)
	l.image("podman", podman)
	l.run(docker, "for i in 1 2; do docker run -d --restart always --name web$i --hostname web$i -l app=web answer; done")
	l.run(podman, "podman run -d --name web3 --hostname web3 answer")
	endpoints := fmt.Sprintf(`{
  docker = { node = routingmesh_node.%s.name, container = { labels = { app = "web" }, slots = 2 } }
  podman = { node = routingmesh_node.%s.name, container = { name = "web3" } }
}`, docker, podman)
	config := l.bare(
		block("routingmesh_service", "web", []string{"cluster_id = routingmesh_cluster.main.id", `name = "web"`, "endpoints = " + endpoints}),
		published("http", "web", 8080, "target_port = 80"), published("host", "web", 8081, "target_port = 80", `mode = "host"`))
	client := l.run("client", fmt.Sprintf("ip -4 -o route get %s | sed 's/.* src \\([0-9.]*\\).*/\\1/'", l.Nodes[docker].Address))
	answered := func(when string, by ...string) {
		t.Helper()
		for _, node := range l.names()[:3] {
			script := fmt.Sprintf("for i in 1 2 3 4 5 6; do curl -sS -m 10 http://%s:8080/ 2>&1; done | cut -d' ' -f1", l.Nodes[node].Address)
			l.eventually(when+", through "+node, "client", script, func(out string) bool { return l.distinct(out) == strings.Join(by, " ") })
		}
	}
	again := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	status := "COLUMNS=200 routingmesh-agent status 2>&1 || true"
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"routingmesh": providerserver.NewProtocol6WithError(New("lab")())},
		Steps: []resource.TestStep{
			{Config: config},
			{PreConfig: func() {
				answered("at first", "web1", "web2", "web3")
				if got := l.run("client", fmt.Sprintf("curl -sS -m 10 http://%s:8081/", l.Nodes[podman].Address)); got != "web3 sees "+client {
					t.Errorf("in host mode: %q, want web3 to see %s", got, client)
				}
				if got := l.run(docker, "COLUMNS=200 routingmesh-agent trace 8080"); !strings.Contains(got, "to the container of process") && !strings.Contains(got, "→ the container of process") {
					t.Errorf("a trace:\n%s", got)
				}
				for _, node := range l.names()[:3] {
					l.eventually("no warning", node, status, func(out string) bool { return !strings.Contains(out, "WARNINGS") })
				}
			}, Config: config, ConfigPlanChecks: again},
			{PreConfig: func() {
				l.run(docker, "docker rm -f web2")
				answered("after one was removed", "web1", "web3")
				l.run(docker, "docker run -d --restart always --name web4 --hostname web4 -l app=web answer && docker restart -t 0 web1")
				answered("after a new one, and a restart", "web1", "web3", "web4")
				l.run(docker, "systemctl restart docker")
				answered("after a restart of Docker", "web1", "web3", "web4")
				l.keepAsking("a restart of the agents", l.Nodes[l.names()[0]].Address, func() {
					for _, node := range l.names()[:3] {
						l.run(node, "systemctl restart routingmesh-agent && kill -9 $(systemctl show -P MainPID routingmesh-agent)")
					}
				})
				answered("after restarts of the agents", "web1", "web3", "web4")
				l.run(podman, "podman stop -t 0 web3")
				answered("after one was stopped", "web1", "web4")
				l.eventually("a warning", podman, status, func(out string) bool {
					return strings.Contains(out, `Endpoint "podman" of service "web" has nobody to answer`)
				})
			}, Config: config, ConfigPlanChecks: again},
			{ResourceName: "routingmesh_service.web", ImportState: true, ImportStateVerify: true},
		},
	})
	for _, name := range l.names()[:3] {
		if left := l.run(name, "ip -o link show rmesh0 2>/dev/null; iptables-save 2>/dev/null | grep ROUTINGMESH; ls -d /var/lib/routingmesh 2>/dev/null; true"); left != "" {
			t.Errorf("the destroy left on %s:\n%s", name, left)
		}
	}
	inside := l.run(docker, `nsenter -t $(docker inspect -f '{{.State.Pid}}' web1) -n sh -c "ip -o link; ip rule; ip route show table all"`)
	if strings.Contains(inside, "rm") || strings.Contains(inside, "10.255.") {
		t.Errorf("the destroy left in a container:\n%s", inside)
	}
}

// keepAsking has the client ask port 8080 of an address all the time while do runs. No
// request may fail.
func (l *lab) keepAsking(what, address string, do func()) {
	l.t.Helper()
	l.run("client", fmt.Sprintf("rm -f /tmp/asked.stop; (while [ ! -e /tmp/asked.stop ]; do curl -sS -m 20 http://%s:8080/ >/dev/null 2>>/tmp/asked.failed && echo >>/tmp/asked.ok; done; touch /tmp/asked.ended) </dev/null >/dev/null 2>&1 &", address))
	l.t.Cleanup(func() {
		l.run("client", "touch /tmp/asked.stop; rm -f /tmp/asked.ok /tmp/asked.failed /tmp/asked.ended")
	})
	do()
	l.eventually("the client ends", "client", "touch /tmp/asked.stop; ls /tmp/asked.ended 2>/dev/null; true", func(out string) bool { return out != "" })
	if failed := l.run("client", "cat /tmp/asked.failed"); failed != "" {
		l.t.Errorf("%s: requests failed:\n%s", what, failed)
	}
	if n := l.run("client", "wc -l </tmp/asked.ok"); n == "0" {
		l.t.Errorf("%s: nothing was asked", what)
	}
}
