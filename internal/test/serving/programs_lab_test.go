//go:build lab

package serving

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig/rigtest"
)

// TestAccLabPrograms has other people's programs in front of a mesh that changes, and behind it.
func TestAccLabPrograms(t *testing.T) {
	w := newWorld(t)
	t.Cleanup(func() { w.print(t, "programs.txt") })
	w.apply(t, Cluster{
		HealthAddress: ":10256",
		Services: map[string]Service{
			"web":   {Endpoints: map[string]Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}, "c": {Node: "n3"}}},
			"redis": {Endpoints: map[string]Endpoint{"a": {Node: "n2"}, "b": {Node: "n3"}}, DrainTimeout: "5m"},
			"dns":   {Endpoints: map[string]Endpoint{"a": {Node: "n2"}}},
		},
		Ports: map[string]Port{"8080/tcp": {"web", 9001}, "6379/tcp": {"redis", 6390}, "5300/udp": {"dns", 5353}},
	})
	t.Run("redis", w.redis)
	t.Run("DNS", w.dns)
	t.Run("HAProxy", w.haproxy)
}

// redis has clients that keep their connection, each of which is told the number of that connection again and again: it stays the same while
// the endpoint is taken out. The apply lasts for as long as they do, and no longer.
func (w *world) redis(t *testing.T) {
	const clients = 8
	server := "--unit serving-redis redis-server --port 6390 --bind 0.0.0.0 --protected-mode no --save '' --appendonly no"
	w.start(t, map[string][]string{"n2": {server}, "n3": {server}})
	for _, n := range []string{"n2", "n3"} {
		w.On(t, n, rigtest.WaitUntil("redis answers", "redis-cli -p 6390 ping"))
	}
	w.On(t, rigtest.ClientHost, fmt.Sprintf(`cat > %[1]s/redis.sh <<'EOF'
for c in $(seq %[2]d); do redis-cli -h %[3]s -p 6379 -r -1 -i 0.25 client id > %[1]s/redis.$c 2>&1 & done; wait
EOF
systemd-run -q --collect --unit serving-redis bash %[1]s/redis.sh`, hostDir, clients, w.Address("n1")))
	const connected = "ss -Htn state established sport = :6390 | wc -l"
	w.On(t, "n3", rigtest.WaitUntil("half of the clients are connected", fmt.Sprintf("[ $(%s) -ge %d ]", connected, clients/2)))
	w.set(t, w.have.With("redis", func(s *Service) { delete(s.Endpoints, "b") }))
	applied := make(chan error, 1)
	go func() { applied <- w.tf.Apply(rigtest.Within(t, 5*time.Minute), func(string) {}) }()
	w.On(t, "n1", rigtest.WaitUntil("an endpoint drains", `curl -sS --unix-socket /run/routingmesh/agent.sock http://agent/v1/drains | jq -e ".drains | length > 0"`))
	answers := fmt.Sprintf("wc -l < %s/redis.1", hostDir)
	w.On(t, rigtest.ClientHost, fmt.Sprintf("n=$(%s)\n", answers)+rigtest.WaitUntil("the client is answered 8 times more", fmt.Sprintf("[ $(%s) -ge $((n + 8)) ]", answers)))
	select {
	case err := <-applied:
		t.Fatalf("the apply has ended before the clients of the endpoint that it takes out: %v", err)
	default:
	}
	w.On(t, rigtest.ClientHost, "systemctl kill serving-redis")
	rigtest.OK(t, <-applied)
	if left := w.On(t, "n3", connected+"; systemctl stop serving-redis"); left != "0" {
		t.Errorf("the apply has ended, and n3 still has %s connections", left)
	}
	got := w.On(t, rigtest.ClientHost, fmt.Sprintf("for c in $(seq %d); do echo $(sort -u %s/redis.$c); done", clients, hostDir))
	for line := range strings.Lines(got) {
		if _, err := strconv.Atoi(strings.TrimSpace(line)); err != nil {
			t.Errorf("a client was to have one connection all the time; it was told %q", line)
		}
	}
	if got := w.On(t, rigtest.ClientHost, "redis-cli -h "+w.Address("n1")+" -p 6379 ping"); got != "PONG" {
		t.Errorf("a new client is answered %q", got)
	}
}

// dns replaces the only endpoint of a udp port, under queries. Udp has no connections to wait for: lost is at most what was under way.
func (w *world) dns(t *testing.T) {
	const most = 20 // queries under way
	server := "--unit serving-dns dnsmasq -k -u root -C /dev/null -p 5353 --no-resolv --no-hosts --address=/lab.test/192.0.2.1"
	w.start(t, map[string][]string{"n2": {server}, "n3": {server}})
	for _, n := range []string{"n2", "n3"} {
		w.On(t, n, rigtest.WaitUntil("dnsmasq answers", "dig +short +time=1 +tries=1 -p 5353 @127.0.0.1 www.lab.test | grep -q 192.0.2.1"))
	}
	w.On(t, rigtest.ClientHost, fmt.Sprintf(`echo 'www.lab.test A' > %[1]s/queries
systemd-run -q --collect --unit serving-dns bash -c 'exec dnsperf -s %[2]s -p 5300 -d %[1]s/queries -c 10 -q %[3]d -Q 50 -S 1 -l 600 > %[1]s/dnsperf 2>&1'`, hostDir, w.Address("n1"), most))
	// a line per second with the answers/s, once there are some
	answered := fmt.Sprintf("n=$(wc -l < %s/dnsperf)\n", hostDir) +
		rigtest.WaitUntil("dnsperf is answered", fmt.Sprintf(`tail -n +$((n + 1)) %s/dnsperf | awk '/^[0-9]+\.[0-9]+: [0-9.]+$/ && $2 > 0 {n++} END {exit n < 3}'`, hostDir))
	w.On(t, rigtest.ClientHost, answered)
	w.apply(t, w.have.With("dns", func(s *Service) { s.Endpoints = map[string]Endpoint{"b": {Node: "n3"}} }))
	w.On(t, "n2", "systemctl stop serving-dns")
	w.On(t, rigtest.ClientHost, answered)
	out := w.On(t, rigtest.ClientHost, "systemctl kill -s INT serving-dns\n"+rigtest.WaitUntil("dnsperf ends", "! systemctl -q is-active serving-dns")+"cat "+hostDir+"/dnsperf")
	count := func(what string) int {
		m := regexp.MustCompile(`Queries ` + what + `:\s+(\d+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("dnsperf says nothing of queries %s:\n%s", what, out)
		}
		n, err := strconv.Atoi(m[1])
		rigtest.OK(t, err)
		return n
	}
	sent, completed, lost := count("sent"), count("completed"), count("lost")
	t.Logf("dnsperf while the endpoint was replaced: %d queries, %d answered, %d lost", sent, completed, lost)
	if completed < 100 || lost > most {
		t.Errorf("%d queries were answered and %d lost; at most the %d that are under way at a time may be:\n%s", completed, lost, most, out)
	}
}

// haproxyConfig has no retries: what fails, fails. A check that is slow, as on an emulated lab, is none that fails.
const haproxyConfig = `global
  stats socket %[1]s/haproxy.sock
defaults
  mode http
  retries 0
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend all
  bind 127.0.0.1:7000
  default_backend mesh
backend mesh
  balance roundrobin
  option httpchk GET /healthz
  timeout check 10s
  default-server check port 10256 inter 500ms fall 1 rise 1
%[2]s`

// haproxy is in front of all nodes, and asks each whether it serves. Nobody tells it of the drain, and of the node that leaves.
func (w *world) haproxy(t *testing.T) {
	w.apply(t, w.have.With("redis", func(s *Service) { s.DrainTimeout = "" })) // a node that leaves waits for as long as the longest
	w.serve(t, "n1:9001", "n2:9001", "n3:9001")
	var servers strings.Builder
	for _, n := range w.Names {
		fmt.Fprintf(&servers, "  server %s %s:%d\n", n, w.Address(n), front)
	}
	w.On(t, rigtest.ClientHost, fmt.Sprintf("cat > %[1]s/haproxy.cfg <<'EOF'\n%[2]s\nEOF\nsystemd-run -q --collect --unit serving-haproxy haproxy -W -db -f %[1]s/haproxy.cfg\n"+
		listens("7000"), hostDir, fmt.Sprintf(haproxyConfig, hostDir, servers.String())))
	w.askInEarnest(t, healthLoad, healthThink, "127.0.0.1:7000")
	status := func(t *testing.T, node, want string) {
		t.Helper()
		w.On(t, rigtest.ClientHost, rigtest.WaitUntil("HAProxy has "+node+" as "+want,
			fmt.Sprintf(`s=$(echo show stat | socat - %s/haproxy.sock | awk -F, '$1 == "mesh" && $2 == "%s" {print $18}'); echo $s; [ "$s" = %s ]`, hostDir, node, want)))
	}
	t.Run("a node drains", func(t *testing.T) {
		w.untroubled(t, "HAProxy in front: a node drains", func(t *testing.T) {
			w.drains(t, "n3:9001")
			next := w.have
			next.Drained = []string{"n3"}
			w.apply(t, next)
			status(t, "n3", "DOWN")
			w.stop(t, "n3:9001")
		})
	})
	t.Run("it is active again", func(t *testing.T) {
		w.untroubled(t, "HAProxy in front: it is active again", func(t *testing.T) {
			w.serve(t, "n3:9001")
			next := w.have
			next.Drained = nil
			w.apply(t, next)
			status(t, "n3", "UP")
		})
	})
	t.Run("a node leaves", func(t *testing.T) {
		w.untroubled(t, "HAProxy in front: a node leaves", func(t *testing.T) {
			w.drains(t, "n3:9001")
			next := w.have
			next.Away = []string{"n3"}
			w.apply(t, next)
			status(t, "n3", "DOWN")
			w.stop(t, "n3:9001")
		})
	})
}
