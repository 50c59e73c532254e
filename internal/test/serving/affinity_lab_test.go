//go:build lab

package serving

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig/rigtest"
)

// TestAccLabAffinity: one client keeps its endpoint, and moves when that dies.
func TestAccLabAffinity(t *testing.T) {
	w := newWorld(t)
	endpoints := map[string]Endpoint{}
	var servers []string
	for _, n := range w.Names {
		endpoints[n] = Endpoint{Node: n}
		servers = append(servers, endpoints[n].Name(9001))
	}
	w.serve(t, servers...)
	cluster := func(s Service) Cluster {
		s.Endpoints = endpoints
		return Cluster{Check: quickCheck, Services: map[string]Service{"web": s}, Ports: map[string]Port{"8080/tcp": {"web", 9001}}}
	}
	t.Run("mh, through all nodes", func(t *testing.T) {
		w.apply(t, cluster(Service{Scheduler: "mh"}))
		w.keepsAndMoves(t, w.Names...)
	})
	t.Run("session_affinity, through one node", func(t *testing.T) {
		w.apply(t, cluster(Service{SessionAffinity: &Affinity{Timeout: "10m"}}))
		w.keepsAndMoves(t, "n1")
	})
	t.Run("neither: it does not", func(t *testing.T) {
		w.apply(t, cluster(Service{}))
		if got := w.answers(t, "n1"); len(got) == 1 {
			t.Errorf("only %v answers, with rr and no affinity", got)
		}
	})
	rigtest.InSync(t, w.tf)
}

// answers are the servers that answer the client, by name; it asks each node some times, over new connections.
func (w *world) answers(t *testing.T, nodes ...string) []string {
	t.Helper()
	out := w.On(t, rigtest.ClientHost, fmt.Sprintf("for e in %s; do for i in 1 2 3 4 5; do curl -sS -m 5 http://$e/x; done; done | cut -d' ' -f1 | sort -u", strings.Join(w.entries(nodes...), " ")))
	return strings.Fields(out)
}

func (w *world) keepsAndMoves(t *testing.T, nodes ...string) {
	t.Helper()
	first := w.answers(t, nodes...)
	if len(first) != 1 {
		t.Fatalf("one client has the endpoints %v", first)
	}
	w.OnAll(t, "systemctl restart routingmesh-agent\n"+agentAnswers)
	if got := w.answers(t, nodes...); !slices.Equal(got, first) {
		t.Errorf("after a restart of the agents it has %v, before it was %v", got, first)
	}
	w.kill(t, "systemctl kill -s KILL", first[0])
	for _, n := range nodes {
		w.await(t, n, `(.unhealthy // []) | length == 1`)
	}
	moved := w.answers(t, nodes...)
	if len(moved) != 1 || moved[0] == first[0] {
		t.Errorf("its endpoint %v is dead, and it has %v", first, moved)
	}
	w.serve(t, first[0])
	for _, n := range w.Names {
		w.await(t, n, `(.unhealthy // []) == []`)
	}
}
