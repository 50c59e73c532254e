// Command demo shows three hosts of the lab become a routing mesh, and become again what they were.
//
//	make demo            KEEP=1 make demo: leave the mesh standing
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

// demo is one run.
type demo struct {
	screen    *Screen
	lab       *rig.Lab
	terraform *rig.Terraform
	nodes     []rig.Node
	endpoints []string // names of the nodes that run nginx
	keep      bool
}

const (
	client     = "client"
	port       = 8080
	secondPort = 8081
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	screen := newScreen(os.Stdout, os.Getenv)
	logFile, err := run(ctx, screen)
	interrupted := ctx.Err() != nil
	stop()
	if err != nil {
		if interrupted {
			err = errors.New("interrupted; make demo again cleans up what stands")
		}
		screen.print("\n")
		screen.Say(screen.bad("✗ " + err.Error()))
		if logFile != "" {
			screen.Say("Everything that ran, with its output: " + logFile + " (the provider's own log: provider.log beside it)")
			screen.Say("The lab is left as it is, for a look; make lab-down ends it.")
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, screen *Screen) (logFile string, err error) {
	lab, err := rig.Open(nil)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(lab.Dir, "demo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	lab.Log = log
	d := &demo{screen: screen, lab: lab, endpoints: []string{"n2", "n3"}, keep: os.Getenv("KEEP") != ""}
	return log.Name(), d.run(ctx)
}

func (d *demo) run(ctx context.Context) error {
	d.screen.Title("Three hosts become a routing mesh")
	leave, err := d.prepare(ctx)
	if err != nil {
		return err
	}
	before, err := d.serve(ctx)
	if err != nil {
		return err
	}
	if err := d.mesh(ctx); err != nil {
		return err
	}
	if d.keep {
		d.howToLookAround()
		return nil
	}
	if err := d.destroy(ctx, before); err != nil {
		return err
	}
	if err := leave(ctx); err != nil {
		return err
	}
	d.screen.print("\n")
	d.screen.Say(d.screen.good("Done in "+strings.TrimSpace(d.screen.elapsed())+".") + " KEEP=1 make demo leaves the mesh standing, to look around in.")
	return nil
}

// prepare builds and starts what is needed. leave ends the lab, unless it ran before.
func (d *demo) prepare(ctx context.Context) (leave func(context.Context) error, err error) {
	err = d.screen.Step("Build the agent, the provider that carries it, and the lab", func() error {
		return d.lab.Build(ctx, d.screen.Detail)
	})
	if err != nil {
		return nil, err
	}
	ran := d.lab.Runs(ctx)
	err = d.screen.Step("Start the lab: three hosts and a client, each with its own systemd and OpenSSH", func() error {
		return d.lab.Up(ctx, func(line string) {
			if strings.HasPrefix(line, "lab:") { // how to use the lab is for who starts it alone
				d.screen.Detail(line)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	if d.nodes, err = d.lab.Nodes(); err != nil {
		return nil, err
	}
	if d.terraform, err = d.lab.Terraform("demo"); err != nil {
		return nil, err
	}
	if d.terraform.Standing() {
		err = d.screen.Step("Destroy what an earlier demo left standing", func() error {
			return d.terraform.Destroy(ctx, d.screen.Detail)
		})
	}
	return func(ctx context.Context) error {
		if ran {
			return d.stopNginx(ctx)
		}
		return d.screen.Step("End the lab", func() error { return d.lab.Down(ctx, d.screen.Detail) })
	}, err
}

func (d *demo) names() []string {
	names := make([]string, len(d.nodes))
	for i, n := range d.nodes {
		names[i] = n.Name
	}
	return names
}

// serve starts what the mesh is to lead to, and remembers what the hosts look like.
func (d *demo) serve(ctx context.Context) (before []string, err error) {
	err = d.screen.Step("nginx on "+strings.Join(d.endpoints, " and ")+", each answering with its name; none on n1", func() error {
		_, err := d.lab.OnAll(ctx, d.endpoints, `set -e
mkdir -p /var/www/html
hostname > /var/www/html/index.html
systemctl start nginx
for i in $(seq 50); do [ "$(curl -s http://127.0.0.1/)" != "$(hostname)" ] || exit 0; sleep 0.2; done
echo "nginx does not answer" >&2; exit 1`)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = d.screen.Step("Write down what the hosts look like: rules, sets, links, routes, units, sysctls, files", func() error {
		before, err = d.look(ctx)
		return err
	})
	return before, err
}

func (d *demo) stopNginx(ctx context.Context) error {
	_, err := d.lab.OnAll(ctx, d.endpoints, "systemctl stop nginx; rm -f /var/www/html/index.html")
	return err
}

// mesh is the demo proper.
func (d *demo) mesh(ctx context.Context) error {
	name := d.terraform.Name()
	steps := []struct {
		heading string
		run     func(context.Context) error
	}{
		{name + " apply of examples/quickstart: one port, on every node", func(ctx context.Context) error {
			return d.terraform.Apply(ctx, d.screen.Detail)
		}},
		{"Ask every node; n1 runs no nginx and answers all the same", func(ctx context.Context) error {
			return d.askAndShow(ctx, d.everywhere())
		}},
		{name + " plan once more", d.planIsEmpty},
		{fmt.Sprintf("Publish a second port, %d, while the first one serves", secondPort), d.publishSecond},
		{name + " plan once more", d.planIsEmpty},
	}
	for _, s := range steps {
		if err := d.screen.Step(s.heading, func() error { return s.run(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// everywhere asks from outside, through every node, and on nodes themselves, with and without an endpoint.
func (d *demo) everywhere() []question {
	var qs []question
	for _, n := range d.nodes {
		qs = append(qs, question{client, fmt.Sprintf("%s:%d", n.Address, port), d.describe(n.Name)})
	}
	first, last := d.nodes[0], d.nodes[len(d.nodes)-1]
	return append(qs,
		question{first.Name, fmt.Sprintf("127.0.0.1:%d", port), d.describe(first.Name)},
		question{last.Name, fmt.Sprintf("127.0.0.1:%d", port), d.describe(last.Name)},
		question{last.Name, fmt.Sprintf("%s:%d", last.Address, port), "its own address"},
	)
}

func (d *demo) describe(node string) string {
	if slices.Contains(d.endpoints, node) {
		return node + ", runs nginx"
	}
	return node + ", runs none"
}

func (d *demo) planIsEmpty(ctx context.Context) error {
	text, changes, err := d.terraform.Plan(ctx)
	if err != nil {
		return err
	}
	if changes {
		d.screen.Detail(text)
		return errors.New("it wants to change something, right after apply")
	}
	d.screen.OK(summary(text))
	return nil
}

// summary is the line of a plan that people look for.
func summary(plan string) string {
	for line := range strings.Lines(plan) {
		if strings.HasPrefix(line, "No changes.") || strings.HasPrefix(line, "Plan:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(plan)
}

const secondHCL = `resource "routingmesh_published_port" "second" {
  service_id     = routingmesh_service.web.id
  published_port = %d
  target_port    = var.target_port
}
`

// publishSecond adds a port in place: nothing else changes, and nginx does not notice.
func (d *demo) publishSecond(ctx context.Context) error {
	hcl := fmt.Sprintf(secondHCL, secondPort)
	if err := os.WriteFile(filepath.Join(d.terraform.Dir, "second.tf"), []byte(hcl), 0o600); err != nil {
		return err
	}
	d.screen.Detail(hcl)
	pids, err := d.nginxPIDs(ctx)
	if err != nil {
		return err
	}
	text, _, err := d.terraform.Plan(ctx)
	if err != nil {
		return err
	}
	const want = "Plan: 1 to add, 0 to change, 0 to destroy."
	if got := summary(text); got != want {
		d.screen.Detail(text)
		return fmt.Errorf("the plan says %q instead of %q", got, want)
	}
	d.screen.OK(want)
	if err := d.terraform.Apply(ctx, d.screen.Detail); err != nil {
		return err
	}
	n1 := d.nodes[0]
	if err := d.askAndShow(ctx, []question{
		{client, fmt.Sprintf("%s:%d", n1.Address, secondPort), d.describe(n1.Name)},
		{client, fmt.Sprintf("%s:%d", n1.Address, port), d.describe(n1.Name)},
	}); err != nil {
		return err
	}
	after, err := d.nginxPIDs(ctx)
	if err != nil {
		return err
	}
	if pids != after {
		return fmt.Errorf("nginx was restarted: its processes were %s and are %s", pids, after)
	}
	d.screen.OK("nginx runs on untouched (" + after + ")")
	return nil
}

func (d *demo) nginxPIDs(ctx context.Context) (string, error) {
	outs, err := d.lab.OnAll(ctx, d.endpoints, `echo "$(hostname): process $(systemctl show -P MainPID nginx)"`)
	for i := range outs {
		outs[i] = strings.TrimSpace(outs[i])
	}
	return strings.Join(outs, ", "), err
}

func (d *demo) destroy(ctx context.Context, before []string) error {
	err := d.screen.Step(d.terraform.Name()+" destroy", func() error { return d.terraform.Destroy(ctx, d.screen.Detail) })
	if err != nil {
		return err
	}
	return d.screen.Step("Compare the hosts with what they were", func() error {
		after, err := d.look(ctx)
		if err != nil {
			return err
		}
		return d.compare(ctx, before, after)
	})
}

func (d *demo) howToLookAround() {
	ssh := "ssh -F " + filepath.Join(d.lab.Dir, "ssh_config")
	d.screen.print("\n")
	d.screen.Say(d.screen.good("The mesh stands.") + " Look around:")
	d.screen.Say(fmt.Sprintf(`
Ask a node that runs no nginx:
  %[1]s client curl -s http://%[2]s:%[3]d/
Go onto a node:
  %[1]s n1
      routingmesh-agent status                  what the mesh is here, and whether it is whole
      ip netns exec routingmesh ipvsadm -Ln     the balancer: a port, and who is behind it
      iptables -t nat -S ROUTINGMESH            the rules: as many for one port as for a thousand
      ipset list routingmesh-tcp                the ports that are open
Break something there, and see it named:
  cd %[4]s && export %[5]s
  %[6]s plan
When you are done (make demo, without KEEP, does it too):
  %[6]s destroy && make -C %[7]s lab-down
`, ssh, d.nodes[0].Address, port, d.terraform.Dir, d.terraform.Env(), d.terraform.Name(), d.lab.Root))
}
