package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/client"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/node"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Check looks at everything that can keep this node from doing its part. It asks
// the agent, and without one does what it can by itself.
func (r *Reporter) Check(ctx context.Context, asJSON bool) error {
	if err := r.NeedRoot("checking the host"); err != nil {
		return err
	}
	k, err := node.OpenKernel(r.Layout, r.Log)
	if err != nil {
		return err
	}
	defer k.Close()
	c := newChecker(r, k)
	if err := c.run(ctx); err != nil {
		return err
	}
	if asJSON {
		err = r.writeJSON(c.report)
	} else {
		err = c.report.write(r.Stdout)
	}
	if err == nil && c.report.failed() > 0 {
		err = ErrBroken
	}
	return err
}

func newChecker(r *Reporter, k *kernel.Kernel) *checker {
	return &checker{Reporter: r, kernel: k, report: &report{}, unreached: map[mesh.Ref]bool{}}
}

// checker makes one report.
type checker struct {
	*Reporter
	kernel *kernel.Kernel
	report *report
	status *mesh.Status // nil when no agent answers
	stored server.Stored
	// unreached has the objects of what check has found wrong with the overlay.
	unreached map[mesh.Ref]bool
}

func (c *checker) run(ctx context.Context) error {
	if err := c.agent(ctx); err != nil {
		return err
	}
	c.report.Node = c.stored.Node
	c.record()
	for _, f := range node.Host(c.Layout).Examine(ctx, c.stored.Record, c.stored.Node) {
		c.found(f)
	}
	chains, err := c.kernel.Chains(ctx, state.Host)
	c.forwarding(chains, err)
	if c.stored.Node == "" {
		c.warnings()
		return nil
	}
	if err := c.firewalls(ctx); err != nil {
		return err
	}
	if err := c.inKernel(ctx); err != nil {
		return err
	}
	c.endpoints()
	attached, err := c.kernel.Attached()
	c.names(ctx, attached, err)
	c.idleConnections()
	c.selfTest()
	c.overlay(ctx)
	c.warnings()
	return nil
}

// agent asks for the status, and else reads the record from the disk.
func (c *checker) agent(ctx context.Context) error {
	st, err := c.Reporter.agent().Status(ctx)
	var absent *client.NotRunningError
	switch {
	case err == nil:
		c.status, c.stored = st, server.Stored{Node: st.Node, Record: st.Record}
		c.report.add("agent", fine, "version %s runs", st.Version)
		return nil
	case !errors.As(err, &absent):
		return err
	}
	stored, readErr := server.NewStore(c.StateDir()).Read()
	_, notInstalled := os.Lstat(c.Link())
	if notInstalled != nil && stored.Record == nil && readErr == nil {
		c.report.add("agent", unsure, "It is not installed on this host: terraform apply does that when the host becomes a node.")
		return nil
	}
	c.report.add("agent", failed, "It does not run: traffic goes on, but what something else breaks is not repaired, and terraform cannot change this node. "+
		"What follows was read without it; %s.", c.WhereToLook())
	if readErr != nil {
		c.report.add("record", failed, "The record on disk cannot be read: %v. Run terraform apply, which sends it again.", readErr)
	}
	c.stored = stored
	return nil
}

func (c *checker) record() {
	rec := c.stored.Record
	switch {
	case rec == nil:
		c.report.add("record", fine, "none: this host belongs to no cluster")
	case c.stored.Node == "":
		c.report.add("record", fine, "cluster %s, generation %d: this host only keeps it, and is no node", rec.Cluster.Name, rec.Generation)
	default:
		c.report.add("record", fine, "cluster %s, generation %d: this host is node %s of %d", rec.Cluster.Name, rec.Generation, c.stored.Node, len(rec.Nodes))
	}
}

func (c *checker) found(f host.Finding) {
	c.report.failures(f.Check, f.Good, f.Problems)
	for _, note := range f.Notes {
		c.report.add(f.Check, unsure, "%s", note)
	}
}

// forwarding looks at what packets to the mesh pass. A policy of DROP is fine: the
// mesh has its own accept.
func (c *checker) forwarding(chains []kernel.Chain, err error) {
	const check, ours = "forwarding", state.ForwardChain
	if err != nil {
		c.report.add(check, failed, "The host's iptables cannot be read: %v.", err)
		return
	}
	policy, first, before := "ACCEPT", 0, 0
	for _, chain := range chains {
		if chain.Table != "filter" || chain.Name != "FORWARD" {
			continue
		}
		policy = chain.Policy
		for i, r := range chain.Rules {
			if strings.HasSuffix(r.Text, "-j "+ours) {
				first, before = i+1, i
				break
			}
		}
	}
	switch {
	case first > 0 && before > 0:
		c.report.add(check, unsure, "The mesh's accept in filter FORWARD is rule %d (policy %s): the rules before it see the mesh's packets first. "+
			"`routingmesh-agent trace` shows them.", first, policy)
	case first > 0:
		c.report.add(check, fine, "filter FORWARD (policy %s) has the mesh's accept in its first place", policy)
	case policy != "ACCEPT":
		c.report.add(check, fine, "filter FORWARD has the policy %s: the mesh puts its own accept there", policy)
	default:
		c.report.add(check, fine, "filter FORWARD has the policy %s", policy)
	}
}

// inKernel tells what differs from the record.
func (c *checker) inKernel(ctx context.Context) error {
	const check, good = "kernel", "everything is as the record asks"
	var texts []string
	if c.status != nil {
		for _, p := range c.status.Problems {
			texts = append(texts, fmt.Sprintf("%s: %s", p.Object, p.Text))
		}
		c.report.failures(check, good, texts)
		return nil
	}
	observed, err := c.kernel.Observe(ctx, kernel.Full)
	if err != nil {
		return fmt.Errorf("read the kernel's state: %w", err)
	}
	release, err := host.KernelRelease()
	if err != nil {
		return err
	}
	forwarding, err := c.kernel.Forwarding()
	if err != nil {
		return fmt.Errorf("read what this host forwards: %w", err)
	}
	desired := compile.Compile(c.stored.Record, c.stored.Node, state.ParseKernelVersion(release), compile.Conditions{Forwarding: forwarding})
	for _, op := range state.Plan(desired, observed) {
		texts = append(texts, fmt.Sprintf("To do: %s.", op))
	}
	c.report.failures(check, good, texts)
	return nil
}

// overlay tries every other node.
func (c *checker) overlay(ctx context.Context) {
	const check = "overlay"
	rec, self := c.stored.Record, c.stored.Node
	others := len(rec.Nodes) - 1
	if others == 0 {
		c.report.add(check, fine, "there is no other node")
		return
	}
	resp := &mesh.ProbeResponse{}
	var err error
	if c.status != nil {
		err = c.Reporter.agent().Ask(ctx, http.MethodPost, mesh.PathProbe, mesh.ProbeRequest{}, resp)
	} else {
		resp, err = probe.New(c.kernel).Probe(ctx, rec, self, nil)
	}
	if err != nil {
		c.report.add(check, failed, "The overlay could not be tried: %v", err)
		return
	}
	var texts []string
	for _, p := range mesh.Reach(rec, map[string]*mesh.ProbeResponse{self: resp}) {
		texts = append(texts, p.Text)
		c.unreached[p.Object] = true
	}
	what := "the other node answers"
	if others > 1 {
		what = fmt.Sprintf("all %d other nodes answer", others)
	}
	c.report.failures(check, fmt.Sprintf("%s, and packets of %d bytes pass", what, rec.MTU()), texts)
}
