//go:build lab

package provider

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// taskImage is what the engines call the image of internal/test/answer: of another registry than
// Docker Hub, which both read alike.
const taskImage = "localhost/answer:latest"

// tasks is a service with tasks behind port 8080.
func (l *lab) tasks(replicas int, attributes ...string) string {
	task := append([]string{fmt.Sprintf("image = %q", taskImage), `restart = { delay = "1s" }`}, attributes...)
	return l.bare(
		block("routingmesh_service", "web", []string{
			"cluster_id = routingmesh_cluster.main.id", `name = "web"`, `drain_timeout = "3s"`,
			fmt.Sprintf("replicas = %d", replicas), "task = {\n" + strings.Join(task, "\n") + "\n}",
			fmt.Sprintf("placement = { constraints = [\"node.name!=%s\"] }", l.names()[0]),
			`update = { order = "start-first", monitor = "5s" }`,
			"depends_on = [" + l.nodeResources() + "]",
		}),
		published("http", "web", 8080, "target_port = 80"))
}

func (l *lab) nodeResources() string {
	var all []string
	for _, name := range l.names()[:3] {
		all = append(all, "routingmesh_node."+name)
	}
	return strings.Join(all, ", ")
}

// taskContainers are the names of the containers of tasks on a host, of the engine that it has.
func (l *lab) taskContainers(host, engine string) string {
	return l.run(host, engine+` ps -a --filter label=io.routingmesh.cluster --format '{{.Names}}' | sort`)
}

// TestAccLabTasks: tasks run in Docker of one node and in Podman of another, answer on every node,
// and come back whatever happens to them. An update and a scale lose no request.
func TestAccLabTasks(t *testing.T) {
	l := openLab(t)
	docker, podman := l.names()[1], l.names()[2]
	for engine, host := range map[string]string{"docker": docker, "podman": podman} {
		l.image(engine, host)
		l.run(host, fmt.Sprintf("%s tag answer %s", engine, taskImage))
	}
	l.run(docker, "docker run -d --name mine "+taskImage)
	client := l.Nodes[l.names()[0]].Address
	answered := func(when string, containers int) {
		t.Helper()
		for _, node := range l.names()[:3] {
			script := fmt.Sprintf("for i in 1 2 3 4 5 6; do curl -sS -m 10 http://%s:8080/ 2>&1; done | cut -d' ' -f1,2 | sort -u", l.Nodes[node].Address)
			l.eventually(when+", through "+node, "client", script, func(out string) bool {
				return strings.Count(out, " sees") == containers && len(strings.Split(out, "\n")) == containers
			})
		}
	}
	again := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	broken := func(engine, host string) {
		t.Helper()
		name := l.taskContainers(host, engine)
		inspect := fmt.Sprintf("%s inspect -f '{{.State.StartedAt}}' %s", engine, name)
		started := l.run(host, inspect)
		l.run(host, "systemctl restart routingmesh-agent && kill -9 $(systemctl show -P MainPID routingmesh-agent)")
		answered("after a restart of the agent", 2)
		if now := l.run(host, inspect); now != started {
			t.Errorf("a restart of the agent started %s again: %s, was %s", name, now, started)
		}
		l.run(host, fmt.Sprintf("%s rm -f %s", engine, name))
		answered("after a removal", 2)
		l.run(host, fmt.Sprintf("kill -9 $(%s inspect -f '{{.State.Pid}}' %s)", engine, name))
		answered("after a kill", 2)
		l.run(host, "systemctl restart "+engine)
		answered("after a restart of "+engine, 2)
		if is := l.taskContainers(host, engine); is != name {
			t.Errorf("the containers of %s are %q, want %q", host, is, name)
		}
	}
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"routingmesh": providerserver.NewProtocol6WithError(New("lab")())},
		Steps: []resource.TestStep{
			{Config: l.tasks(2)},
			{PreConfig: func() {
				answered("at first", 2)
				broken("docker", docker)
				broken("podman", podman)
				for _, host := range []string{docker, podman} { // a task counts as one that keeps running after a minute
					l.eventually("no task is warned of", host, `routingmesh-agent status --json | grep -c '"code": *"task"'; true`, func(out string) bool { return strings.TrimSpace(out) == "0" })
				}
			}, Config: l.tasks(2), ConfigPlanChecks: again},
			{PreConfig: func() { l.asking(client) }, Config: l.tasks(3)},
			{PreConfig: func() { answered("after a scale up", 3) }, Config: l.tasks(1)},
			{PreConfig: func() { answered("after a scale down", 1) }, Config: l.tasks(1, `env = { RELEASE = "2" }`)},
			{PreConfig: func() {
				answered("after an update", 1)
				l.allAnswered("scales and an update")
			}, Config: l.tasks(1, `env = { RELEASE = "2" }`), ConfigPlanChecks: again},
			{Config: l.tasks(1, `env = { RELEASE = "2" }`, `entrypoint = ["/no-such-program"]`), ExpectError: regexp.MustCompile(`(?s)no-such-program`)},
			{Config: l.tasks(2)},
		},
	})
	for engine, host := range map[string]string{"docker": docker, "podman": podman} {
		if left := l.taskContainers(host, engine); left != "" {
			t.Errorf("the destroy left containers on %s: %s", host, left)
		}
	}
	if mine := l.run(docker, "docker inspect -f '{{.Name}}' mine"); mine != "/mine" { // it ended with the restart of Docker
		t.Errorf("a container of somebody else: %s", mine)
	}
}

// asking has the client ask port 8080 of an address from now on, until allAnswered.
func (l *lab) asking(address string) {
	l.t.Helper()
	l.run("client", fmt.Sprintf("rm -f /tmp/tasks.*; (while [ ! -e /tmp/tasks.stop ]; do curl -sS -m 20 http://%s:8080/ >/dev/null 2>>/tmp/tasks.failed && echo >>/tmp/tasks.ok; done; touch /tmp/tasks.ended) </dev/null >/dev/null 2>&1 &", address))
}

// allAnswered ends what asking began: no request may have failed.
func (l *lab) allAnswered(when string) {
	l.t.Helper()
	l.eventually("the client ends", "client", "touch /tmp/tasks.stop; ls /tmp/tasks.ended 2>/dev/null; true", func(out string) bool {
		time.Sleep(time.Second)
		return out != ""
	})
	if failed := l.run("client", "cat /tmp/tasks.failed"); failed != "" {
		l.t.Errorf("%s: requests failed:\n%s", when, failed)
	}
	if n := l.run("client", "wc -l </tmp/tasks.ok; rm -f /tmp/tasks.*"); n == "0" {
		l.t.Errorf("%s: nothing was asked", when)
	}
}
