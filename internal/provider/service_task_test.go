package provider

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// tasked is the service web with a task, which counts as good as soon as it runs.
func tasked(task string, more ...string) string {
	lines := []string{"cluster_id = routingmesh_cluster.main.id", `name = "web"`, "task = " + task, "depends_on = [routingmesh_node.n1, routingmesh_node.n2, routingmesh_node.n3]"}
	if !strings.Contains(strings.Join(more, "\n"), "update =") {
		lines = append(lines, `update = { monitor = "0s" }`)
	}
	return block("routingmesh_service", "web", append(lines, more...))
}

// places are the nodes of the tasks "1", "2", …. Which block a node has depends on who joined first.
func places(slot int, nodes ...string) knownvalue.Check {
	all := map[string]knownvalue.Check{}
	for i, node := range nodes {
		all[fmt.Sprint(i+1)] = knownvalue.ObjectExact(map[string]knownvalue.Check{
			"node": wanted(node), "address": knownvalue.StringRegexp(regexp.MustCompile(fmt.Sprintf(`^10\.255\.[0-2]\.%d$`, slot))),
		})
	}
	return knownvalue.MapExact(all)
}

func unknownTasks(checks resource.ConfigPlanChecks) resource.ConfigPlanChecks {
	checks.PreApply = append(checks.PreApply, plancheck.ExpectUnknownValue(theService, tfjsonpath.New("tasks")))
	return checks
}

// A service with a task: placed, scaled, updated, and the next plan says "No changes".
func TestTask(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes()
	one := m.provider(rest, tasked(`{ image = "nginx:1" }`))
	three := m.provider(rest, tasked(`{ image = "nginx:1" }`, "replicas = 3"), published("http", "web", 8080))
	updated := m.provider(rest, tasked(`{ image = "nginx:2" }`, "replicas = 3"), published("http", "web", 8080))
	steps := []resource.TestStep{
		{
			Config:           one,
			ConfigPlanChecks: unknownTasks(resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}),
			ConfigStateChecks: []statecheck.StateCheck{
				is(theService, "replicas", 1), is(theService, "endpoints", nil), is(theService, "global", nil), is(theService, "tasks", places(128, "n1")),
			},
		},
		{
			Config: three, ConfigPlanChecks: unknownTasks(actions(theService, update)),
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "tasks", places(128, "n1", "n2", "n3"))},
		},
		unchanged(theService, three),
		{
			Config: updated, ConfigPlanChecks: unknownTasks(actions(theService, update, thePort, noop)),
			ConfigStateChecks: []statecheck.StateCheck{
				is(theService, "tasks", places(129, "n1", "n2", "n3")),
				m.has(func(s *mesh.Service) bool {
					return s.Previous == nil && s.Task.Image == "nginx:2" && len(s.Endpoints) == 3
				}),
			},
		},
		{ // what is not about tasks leaves them known
			Config:           m.provider(rest, tasked(`{ image = "nginx:2" }`, "replicas = 3", `scheduler = "lc"`), published("http", "web", 8080)),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectKnownValue(theService, tfjsonpath.New("tasks").AtMapKey("1").AtMapKey("node"), knownvalue.StringExact("n1"))}},
		},
	}
	m.test(append(steps, imported(theService, "demo/web", m.provider(rest, tasked(`{ image = "nginx:2" }`, "replicas = 3", `scheduler = "lc"`), published("http", "web", 8080)))...)...)
}

// Every attribute, as it is written, in the record, and read back by an import.
func TestTask_EveryAttribute(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.node("n1") + m.node("n2") + m.node("n3", `labels = { disk = "ssd", zone = "a" }`)
	config := m.provider(rest, tasked(`{
    image = "registry.example.com/app@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    engine = "podman", entrypoint = ["/app"], command = ["--port", "80"], env = { A = "b" }, user = "1000:1000", workdir = "/srv"
    mounts = [{ type = "volume", source = "data", target = "/data" }, { type = "bind", source = "/etc/app", target = "/etc/app", read_only = true }, { type = "tmpfs", target = "/tmp" }]
    limits = { cpus = "0.5", memory = "512MiB", pids = 100 }
    restart = { condition = "on-failure", delay = "1m", max_attempts = 3 }
    stop_grace_period = "1m", stop_signal = "SIGINT", labels = { team = "a" }, cap_add = ["NET_ADMIN"], cap_drop = ["ALL"], read_only = true
    sysctls = { "net.core.somaxconn" = "1024" }, log_driver = "json-file", log_options = { max-size = "10m" }
    health_check = { test = ["CMD", "true"], interval = "5s", timeout = "2s", start_period = "1m", retries = 2 }
  }`, "replicas = 2",
		`placement = { constraints = ["node.labels.disk==ssd"], spread = ["node.labels.zone"], max_per_node = 2 }`,
		`update = { parallelism = 2, delay = "1s", order = "start-first", monitor = "0s", failure_action = "rollback" }`))
	steps := []resource.TestStep{{
		Config: config,
		ConfigStateChecks: []statecheck.StateCheck{
			is(theService, "task.limits.memory", "512MiB"), is(theService, "task.restart.delay", "1m"), is(theService, "tasks.1.node", "n3"), is(theService, "tasks.2.node", "n3"),
			m.has(func(s *mesh.Service) bool {
				t := s.Task
				return t.Limits == mesh.TaskLimits{MilliCPUs: 500, MemoryBytes: 512 << 20, PIDs: 100} && *t.StopGraceSeconds == 60 && len(t.Mounts) == 3 &&
					t.HealthCheck.StartPeriodSeconds == 60 && s.Update.Order == mesh.StartFirst && *t.Restart.DelaySeconds == 60
			}),
		},
	}, unchanged(theService, config)}
	steps = append(steps, imported(theService, "demo/web", config)...)
	respelled := strings.NewReplacer(`"512MiB"`, `"524288k"`, `"1m", max_attempts`, `"60s", max_attempts`, `["NET_ADMIN"]`, `["CAP_NET_ADMIN"]`).Replace(config)
	steps = append(steps, resource.TestStep{Config: respelled, ConfigPlanChecks: actions(theService, update),
		ConfigStateChecks: []statecheck.StateCheck{is(theService, "task.limits.memory", "524288k")}}, unchanged(theService, respelled))
	m.test(steps...)
}

// Drained and joined nodes move tasks, and no plan is needed for that; one of tasks that
// nobody can place is drift.
func TestTask_Nodes(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	drained := func(n3 string) string {
		return m.provider(cluster()+m.node("n1")+m.node("n2")+m.node("n3", n3),
			tasked(`{ image = "nginx:1" }`, "replicas = 3", `placement = { max_per_node = 2 }`),
			strings.NewReplacer(`"web"`, `"log"`).Replace(tasked(`{ image = "vector" }`, "global = true")))
	}
	const log = "routingmesh_service.log"
	m.test(
		resource.TestStep{Config: drained(""), ConfigStateChecks: []statecheck.StateCheck{is(log, "replicas", nil), is(log, "tasks.n3.node", "n3"), is(theService, "tasks.3.node", "n3")}},
		resource.TestStep{Config: drained(`availability = "drain"`), ConfigPlanChecks: actions(theService, noop, log, noop)},
		resource.TestStep{Config: drained(`availability = "drain"`), ConfigPlanChecks: actions(theService, noop, log, noop),
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "tasks.3.node", "n1"), statecheck.ExpectKnownValue(log, at("tasks"), knownvalue.MapSizeExact(2))}},
		resource.TestStep{Config: drained(""), ConfigPlanChecks: actions(theService, noop, log, noop)},
	)
}

// What fails is an error with its last lines, and what was committed is in the state.
func TestTask_Failures(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes()
	config := func(image, more string) string {
		return m.provider(rest, tasked(fmt.Sprintf("{ image = %q }", image), "replicas = 3", more))
	}
	bad := func(t *mesh.TaskStatus, task *mesh.Task) {
		if task.Image == "nginx:bad" {
			t.State, t.ExitCode, t.LastLines = mesh.TaskFailed, new(3), []string{"no such file"}
		}
	}
	for _, n := range m.All() {
		n.SetTasks(bad)
	}
	m.test(
		resource.TestStep{Config: m.provider(rest)},
		resource.TestStep{ // no dependency on a node is in sight, but the constraint is plain
			Config: config("nginx:1", `placement = { constraints = ["node.labels.disk==ssd"] }`), ExpectError: regexp.MustCompile(`(?s)No node for a task.*node\s+n1:\s+a\s+constraint`),
		},
		resource.TestStep{Config: config("nginx:1", "")},
		resource.TestStep{Config: config("nginx:bad", ""), ExpectError: regexp.MustCompile(`(?s)Update not finished.*web\.1\s+fails\s+\(exit\s+code\s+3\).*no such file.*0\s+of\s+3\s+tasks`)},
		resource.TestStep{Config: config("nginx:bad", ""), PlanOnly: true, ExpectNonEmptyPlan: true},
		resource.TestStep{Config: config("nginx:1", ""), ConfigPlanChecks: actions(theService, update),
			ConfigStateChecks: []statecheck.StateCheck{m.has(func(s *mesh.Service) bool {
				return s.Previous == nil && s.Task.Image == "nginx:1" && len(s.Endpoints) == 3
			})}},
		resource.TestStep{Config: config("nginx:bad", `update = { monitor = "0s", failure_action = "rollback" }`), ExpectError: regexp.MustCompile(`Update rolled back`)},
		resource.TestStep{Config: config("nginx:1", `update = { monitor = "0s", failure_action = "rollback" }`),
			ConfigStateChecks: []statecheck.StateCheck{m.has(func(s *mesh.Service) bool { return s.Previous == nil && s.Task.Image == "nginx:1" })}},
	)
}

// A service that cannot start its first tasks is tainted, and made anew.
func TestTask_FailingCreation(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	for _, n := range m.All() {
		n.SetTasks(func(t *mesh.TaskStatus, task *mesh.Task) {
			if task.Image == "nginx:none" {
				t.State, t.Error = mesh.TaskRejected, "no such image"
			}
		})
	}
	rest := cluster() + m.nodes()
	m.test(
		resource.TestStep{Config: m.provider(rest, tasked(`{ image = "nginx:none" }`)), ExpectError: regexp.MustCompile(`(?s)Tasks do not run.*web\.1\s+cannot\s+be\s+started:\s+no\s+such\s+image`)},
		resource.TestStep{Config: m.provider(rest, tasked(`{ image = "nginx:1" }`)), ConfigPlanChecks: actions(theService, replace)},
	)
}

func TestTask_PlanRefuses(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes()
	m.test(
		m.refused(`(?s)Invalid Attribute Combination.*task,endpoints|No attribute specified`, rest, block("routingmesh_service", "web", []string{"cluster_id = routingmesh_cluster.main.id", `name = "web"`})),
		m.refused(`Invalid Attribute Combination`, rest, web("{}", `task = { image = "nginx" }`)),
		m.refused(`(?s)replicas.*are of a service with a\s+task|Replicas are of a service with a task`, rest, web("{}", "replicas = 2")),
		m.refused(`Only a service with a task can be global`, rest, web("{}", "global = true")),
		m.refused(`is no image`, rest, tasked(`{ image = "not an image" }`)),
		m.refused(`leave replicas out`, rest, tasked(`{ image = "nginx" }`, "global = true", "replicas = 2")),
		m.refused(`which is nothing of a node`, rest, tasked(`{ image = "nginx" }`, `placement = { constraints = ["node.role==manager"] }`)),
		m.refused(`source of a bind mount`, rest, tasked(`{ image = "nginx", mounts = [{ type = "bind", source = "x", target = "/x" }] }`)),
		m.refused(`Limits.memory`, rest, tasked(`{ image = "nginx", limits = { memory = "1k" } }`)),
		m.refused(`(?s)Invalid duration`, rest, tasked(`{ image = "nginx", stop_grace_period = "500ms" }`)),
	)
}

// A task of which something is not known yet is judged when it is.
func TestTask_UnknownImage(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	made := block("terraform_data", "image", []string{`input = "nginx:1"`})
	m.test(resource.TestStep{
		Config:            m.provider(cluster(), m.nodes(), made, tasked(`{ image = terraform_data.image.output }`)),
		ConfigStateChecks: []statecheck.StateCheck{is(theService, "tasks.1.node", "n1"), is(theService, "replicas", 1)},
	})
}
