package report

import (
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

// A question is one row of the summary: what a user asks, and which figures answer it.
type question struct {
	asks       string
	part, name string
	of         map[string]string // the conditions that the figure has, perhaps among others
	ours       cell

	against string
	other   map[string]string // the conditions of the figure to compare with; nil: the same figure has both
	theirs  cell
}

// A cell is what a figure says in one column.
type cell func(figure.Figure) string

const (
	dockerSwarm = "Docker Swarm"
	terraform   = "Terraform itself"
	goal        = "goal"
)

func value(f figure.Figure) string    { return number(f.Value) + " " + f.Unit }
func compared(f figure.Figure) string { return number(f.Compared) }
func more(f figure.Figure) string     { return number(f.Compared) + " " + f.Unit }
func count(f figure.Figure) string    { return number(f.Value) }
func wanted(f figure.Figure) string   { return strings.TrimSpace(f.Goal + " " + f.Unit) }
func base(f figure.Figure) string     { return number(*f.Base) + " " + f.Unit }
func failures(f figure.Figure) string { return number(f.Value) + " of " + number(*f.Base) }

// questions are in the order of the page.
func questions() []question {
	const otherNode, localEndpoint = "other node", "local endpoint"
	by := func(who, way string) map[string]string { return map[string]string{"by": who, "way": way} }
	share := func(asks, name, way string) question {
		return question{asks, "swarm", name, by("routingmesh", way), compared, dockerSwarm, by("Swarm", way), compared}
	}
	published := func(asks, change string) question {
		return question{asks, "swarm", "seconds until all nodes serve, Swarm's over ours", map[string]string{"change": change}, base, dockerSwarm, nil, value}
	}
	size := func(nodes, ports string) map[string]string { return map[string]string{"nodes": nodes, "ports": ports} }
	kernel := func(ports string) map[string]string {
		return map[string]string{"endpoints": "10", "kernel": "real", "nodes": "10", "ports": ports}
	}
	step := func(asks, part, name, nodes, ports string) question {
		return question{asks, part, name, size(nodes, ports), more, terraform, nil, base}
	}
	node := func(asks, name, ports string, answer cell) question {
		return question{asks, "agent", name, kernel(ports), answer, goal, nil, wanted}
	}
	return []question{
		share("requests/s through another node, as a share of a direct client's", "requests", otherNode),
		share("new connections/s through another node, as a share of a direct client's", "new connections", otherNode),
		share("one large download through another node, as a share of a direct client's", "download", otherNode),
		share("requests/s with the endpoint on the same node, as a share of a direct client's", "requests", localEndpoint),
		{"99th percentile of the answers through another node", "swarm", "p99", by("routingmesh", otherNode), value, dockerSwarm, by("Swarm", otherNode), value},
		published("a new service with one port answers on all nodes after", "a service with one port"),
		published("one more port of a service answers on all nodes after", "one more port"),
		{
			"requests of the service's other port that fail meanwhile", "swarm", "failed requests of the port that was there",
			map[string]string{"by": "routingmesh"}, failures, dockerSwarm, map[string]string{"by": "Swarm"}, failures,
		},
		{"memory of the daemons on a node", "swarm", "memory of the daemons, ours over Swarm's", nil, value, dockerSwarm, nil, base},
		node("memory of the agent, 1,000 ports of 10 endpoints", "memory", "1000", value),
		node("memory of the agent, 5,000 ports of 10 endpoints", "memory", "5000", value),
		node("CPU of the agent at rest, 5,000 ports", "steady CPU", "5000", value),
		node("one port more beside 5,000, applied and read back on a node", "one port more, applied and read back", "5000", value),
		node("5,000 ports applied on a node that has none, as after a boot", "full apply", "5000", value),
		node("iptables rules more with 5,000 ports than with one", "rules more than with one port", "5000", count),
		step("the provider's part of a `terraform plan`, 3 nodes and 1,000 ports", "control", "plan", "3", "1000"),
		step("the provider's part of the first `terraform apply`, 3 nodes and 1,000 ports", "control", "apply", "3", "1000"),
		step("the provider's part of an apply that changes one port, 3 nodes and 1,000 ports", "control", "change", "3", "1000"),
		step("the provider's part of a `terraform plan`, 100 nodes and 100 ports", "fleet", "plan", "100", "100"),
		{"memory of the provider in an apply, 100 nodes and 100 ports", "fleet", "apply rss", size("100", "100"), value, goal, nil, wanted},
	}
}

// Summary is a Markdown table of the figures that a user asks for, as far as they are there.
func Summary(figures []figure.Figure) string {
	rows := [][]string{{"Measured", "routingmesh", "Compared with"}}
	for _, q := range questions() {
		ours := find(figures, q.part, q.name, q.of)
		other := ours
		if q.other != nil {
			other = find(figures, q.part, q.name, q.other)
		}
		if ours != nil && other != nil {
			rows = append(rows, []string{q.asks, q.ours(*ours), q.against + ": " + q.theirs(*other)})
		}
	}
	return markdown(rows)
}

// find returns the figure whose case has these conditions, nil if there is none.
func find(figures []figure.Figure, part, name string, of map[string]string) *figure.Figure {
next:
	for i, f := range figures {
		if f.Part != part || f.Name != name {
			continue
		}
		for k, v := range of {
			if f.Case[k] != v {
				continue next
			}
		}
		return &figures[i]
	}
	return nil
}
