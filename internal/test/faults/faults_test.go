package faults

import (
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

const plan = `  # routingmesh_node.n2 will be updated in-place
  ~ resource "routingmesh_node" "n2" {
      ~ drift = [
          - "node n2: The filter chain ROUTINGMESH-IN lacks the rule ` + "`-m comment --comment \\\"a b\\\"`" + `.",
          - "node n1: IPVS has no service 10.255.0.1:8080/tcp.",
          - "node n1: IPVS has no service 10.255.0.1:8080/tcp.",
        ] -> (known after apply)
        name = "node"
    }
`

func TestSentences(t *testing.T) {
	t.Parallel()
	want := []string{"node n2: The filter chain ROUTINGMESH-IN lacks the rule `-m comment --comment \"a b\"`.", "node n1: IPVS has no service 10.255.0.1:8080/tcp."}
	if got := Sentences(plan); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := Table([]Row{
		{Fault: "vx0 deleted", Node: "n1", Firewall: "ufw", Outage: load.Outage{Seconds: 1.234, Failed: 7, Asked: 90}, Repaired: "0.9 s", Said: []string{"node n1: a.", "node n1: b."}},
		{Fault: "kill -9", Node: "n2", Outage: load.Outage{Asked: 80}},
	})
	want := `fault       | node | firewall | s to serve | failed of N | repaired | plan said
vx0 deleted | n1   | ufw      | 1.2        | 7 of 90     | 0.9 s    | node n1: a.
            |      |          |            |             |          | node n1: b.
kill -9     | n2   | –        | 0          | 0 of 80     | –        | –
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, strings.TrimSuffix(want, "\n"))
	}
}
