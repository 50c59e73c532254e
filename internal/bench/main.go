// Command bench measures what the mesh costs: requests over kept connections, new connections, and the slowest hundredth,
// through a node without an endpoint, against a client that goes to the endpoint itself. Both ask the same nginx, in turns,
// in the same run: only the ratios say something, the lab is software emulation where there is no IPVS on the machine.
// JSON lines on stdout, what happens on stderr.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/rig"
)

const (
	rounds   = 3
	entry    = "n1" // has no endpoint
	endpoint = "n2"
	port     = 8080
	target   = 8000
)

// A load is what wrk does for five seconds, with one thread and 16 connections.
type load struct {
	id      string
	headers string
	path    string
}

// The page is Debian's own, served from disk as nginx is installed to. The bare answer costs nginx a sixth of that:
// what is left of it through the mesh is the price of the path alone.
var loads = []load{
	{"keepalive", "", ""},
	{"newconn", "-H 'Connection: close'", ""},
	{"keepalive-bare", "", "bare"},
}

// line is a line of the output.
type line struct {
	ID     string `json:"id"`
	Target string `json:"target"`
	Run    int    `json:"run"`
	Measure
}

// ratio is a line at the end: medians through the mesh over medians direct, and what it has to be.
type ratio struct {
	ID           string  `json:"id"`
	Metric       string  `json:"metric"`
	MeshVsDirect float64 `json:"mesh_vs_direct"`
	Mesh         float64 `json:"mesh"`
	Direct       float64 `json:"direct"`
	Goal         string  `json:"goal,omitempty"`
	Met          bool    `json:"met"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	lab, err := rig.Open(io.Discard)
	if err != nil {
		return err
	}
	dir := filepath.Join(lab.Dir, "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "bench.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	lab.Log = log
	if err := bench(ctx, lab); err != nil {
		return fmt.Errorf("%w\nEverything that ran, with its output: %s", err, log.Name())
	}
	return nil
}

func say(text string) { fmt.Fprintln(os.Stderr, "bench:", text) }

// busy warns of a machine that does other things: then the numbers, ratios too, say little.
func busy() {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return
	}
	var load float64
	if _, err := fmt.Sscan(string(b), &load); err == nil && load > float64(runtime.NumCPU())/2 {
		say(fmt.Sprintf("this machine is busy with other things (load %.1f on %d cores): the numbers will say little", load, runtime.NumCPU()))
	}
}

func bench(ctx context.Context, lab *rig.Lab) (err error) {
	busy()
	if err := lab.Build(ctx, say); err != nil {
		return err
	}
	if !lab.Runs(ctx) {
		defer func() { err = cmp.Or(err, lab.Down(context.WithoutCancel(ctx), say)) }()
	}
	if err := lab.Up(ctx, say); err != nil {
		return err
	}
	nodes, err := lab.Nodes()
	if err != nil {
		return err
	}
	if err := serve(ctx, lab); err != nil {
		return err
	}
	defer stopServing(context.WithoutCancel(ctx), lab)
	tf, err := lab.Terraform("bench", fmt.Sprintf("endpoint_nodes=[%q]", endpoint), fmt.Sprintf("published_port=%d", port), fmt.Sprintf("target_port=%d", target))
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, tf.Destroy(context.WithoutCancel(ctx), say)) }()
	if err := tf.Apply(ctx, say); err != nil {
		return err
	}
	return measure(ctx, lab, nodes)
}

// serve starts the nginx that both ways lead to: one worker that never closes a connection by itself.
func serve(ctx context.Context, lab *rig.Lab) error {
	_, err := lab.SSH(ctx, endpoint, fmt.Sprintf(`set -e
cat > /run/bench-nginx.conf <<'EOF'
worker_processes 1;
pid /run/bench-nginx.pid;
error_log /run/bench-nginx.log;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 3600;
  server {
    listen %d backlog=4096;
    root /usr/share/nginx/html;
    location = /bare { return 200 "%s\n"; }
  }
}
EOF
[ ! -e /run/bench-nginx.pid ] || nginx -c /run/bench-nginx.conf -s stop || true
nginx -c /run/bench-nginx.conf`, target, endpoint))
	return err
}

func stopServing(ctx context.Context, lab *rig.Lab) {
	if _, err := lab.SSH(ctx, endpoint, "nginx -c /run/bench-nginx.conf -s stop; rm -f /run/bench-nginx.*"); err != nil {
		say(err.Error())
	}
}

func measure(ctx context.Context, lab *rig.Lab, nodes []rig.Node) error {
	urls := map[string]string{}
	for _, n := range nodes {
		switch n.Name {
		case endpoint:
			urls["direct"] = fmt.Sprintf("http://%s:%d/", n.Address, target)
		case entry:
			urls["mesh"] = fmt.Sprintf("http://%s:%d/", n.Address, port)
		}
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	var lines []line
	for round := range rounds {
		order := []string{"direct", "mesh"}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, l := range loads {
			for _, way := range order {
				m, err := wrk(ctx, lab, l, urls[way]+l.path)
				if err != nil {
					return err
				}
				lines = append(lines, line{l.id, way, round + 1, m})
				if err := out.Encode(lines[len(lines)-1]); err != nil {
					return err
				}
			}
		}
	}
	for _, r := range ratios(lines) {
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return failures(lines)
}

func wrk(ctx context.Context, lab *rig.Lab, l load, url string) (Measure, error) {
	out, err := lab.SSH(ctx, "client", fmt.Sprintf("wrk -t1 -c16 -d5s --latency %s %s", l.headers, url))
	if err != nil {
		return Measure{}, err
	}
	return parseWrk(out)
}

// ratios compares medians; the goals are those of the project's first step.
func ratios(lines []line) []ratio {
	rps := func(m Measure) float64 { return m.RPS }
	p99 := func(m Measure) float64 { return m.P99 }
	compare := func(metric, id string, of func(Measure) float64, goal string, met func(float64) bool) ratio {
		mesh, direct := median(lines, id, "mesh", of), median(lines, id, "direct", of)
		r := round2(mesh / direct)
		return ratio{"ratio", metric, r, round2(mesh), round2(direct), goal, met(r)}
	}
	return []ratio{
		compare("rps", "keepalive", rps, ">= 0.5", func(r float64) bool { return r >= 0.5 }),
		compare("newconn", "newconn", rps, ">= 0.45", func(r float64) bool { return r >= 0.45 }),
		compare("p99", "keepalive", p99, "<= 2", func(r float64) bool { return r <= 2 }),
		compare("rps-bare", "keepalive-bare", rps, "", func(float64) bool { return true }),
	}
}

func median(lines []line, id, way string, of func(Measure) float64) float64 {
	var values []float64
	for _, l := range lines {
		if l.ID == id && l.Target == way {
			values = append(values, of(l.Measure))
		}
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return values[len(values)/2]
}

func round2(x float64) float64 { return float64(int(x*100+0.5)) / 100 }

// failures are requests that got no proper answer: numbers with those in them compare nothing.
func failures(lines []line) error {
	for _, l := range lines {
		if l.Errors > 0 {
			return fmt.Errorf("%s %s, run %d: %d requests failed", l.ID, l.Target, l.Run, l.Errors)
		}
	}
	return nil
}
