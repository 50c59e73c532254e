package serving

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

func TestTable(t *testing.T) {
	t.Parallel()
	rows := []Row{
		{Change: "a node drains", Seconds: 9.96, Report: load.Report{New: load.Kind{Requests: 10, Connections: 10, P99: 12.4}, Keep: load.Kind{Requests: 20, Connections: 2, P99: 7}}},
		{Change: "scale", Seconds: 1, Report: load.Report{New: load.Kind{Requests: 1, Failed: 1, Connections: 1}}, Note: "n"},
	}
	want := `change        | s    | requests | new conn. | keep-alive | connections | failed | p99 new, kept (ms) | note
a node drains | 10.0 | 30       | 10        | 20         | 12          | 0      | 12, 7
scale         | 1.0  | 1        | 1         | 0          | 1           | 1      | 0, 0               | n
all           | 11.0 | 31       | 11        | 20         | 13          | 1      | 12, 7
`
	if got := Table(rows); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestClusterIsNotShared: a changed cluster leaves the one that it was made from alone.
func TestClusterIsNotShared(t *testing.T) {
	t.Parallel()
	c := Cluster{Services: map[string]Service{"web": {Endpoints: map[string]Endpoint{"a": {Node: "n1", Port: 1}}}}, Ports: map[string]Port{}}
	before, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	d := c.With("web", func(s *Service) { delete(s.Endpoints, "a"); s.Scheduler = "mh" }).WithPort("80/tcp", Port{"web", 80})
	if after, _ := json.Marshal(c); string(after) != string(before) {
		t.Errorf("it was %s and is %s", before, after)
	}
	text, err := d.Variables()
	if err != nil || !strings.Contains(text, `"mh"`) || !strings.Contains(text, `"80/tcp"`) || !strings.Contains(text, `"away": []`) {
		t.Errorf("got %s, %v", text, err)
	}
}
