package serving

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestFailing(t *testing.T) {
	t.Parallel()
	r := Report{Failures: []Failure{{At: 3}, {At: 1.5}, {At: 2}, {At: 9, Keep: true}}}
	if got := r.Failing(); got != 1.5 {
		t.Errorf("got %v", got)
	}
	if got := (Report{}).Failing(); got != 0 {
		t.Errorf("without failures: %v", got)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	rows := []Row{
		{Change: "a node drains", Seconds: 9.96, Report: Report{New: Kind{Requests: 10, Connections: 10, P99: 12.4}, Keep: Kind{Requests: 20, Connections: 2, P99: 7}}},
		{Change: "scale", Seconds: 1, Report: Report{New: Kind{Requests: 1, Failed: 1, Connections: 1}}, Note: "n"},
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

// TestLoad talks to a stand-in for the load.
func TestLoad(t *testing.T) {
	t.Parallel()
	start := func(script string) *Load {
		t.Helper()
		l, err := Start(exec.CommandContext(t.Context(), "sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Stop)
		return l
	}
	l := start(`while read -r word; do case $word in mark) echo '{"word":"mark","new":{"requests":3}}';; *) echo '{"error":"no such word"}';; esac; done`)
	for range 2 {
		if r, err := l.Say(t.Context(), WordMark); err != nil || r.New.Requests != 3 {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	if _, err := l.Say(t.Context(), "sing", "a song"); err == nil || !strings.Contains(err.Error(), `does not take "sing a song": no such word`) {
		t.Errorf("got %v", err)
	}
	dead := start("echo it is dead >&2")
	<-dead.answers
	if _, err := dead.Say(t.Context(), WordMark); err == nil {
		t.Error("no error of a load that has ended")
	}
	silent := start("cat > /dev/null")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := silent.Say(ctx, WordMark); err == nil || !strings.Contains(err.Error(), `no answer of the load to "mark"`) {
		t.Errorf("got %v", err)
	}
}
