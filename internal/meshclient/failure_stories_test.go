package meshclient_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

type kind int

const (
	creation kind = iota
	update
	removal
)

// resource is a Terraform resource: what its Create, Update and Delete call.
type resource struct {
	object mesh.Ref
	put    func(ctx context.Context, c *meshclient.Client, f *meshtest.Fleet, create bool) error
	remove func(ctx context.Context, c *meshclient.Client, f *meshtest.Fleet) error
}

// story is one operation on a cluster that has the others.
type story struct {
	name    string
	kind    kind
	subject resource
	others  []resource
	nodes   []string // the hosts of the fleet that are nodes before
	bare    []string // further hosts, without an agent
	hosts   []string // of the provider
	keepers []string // that have the agent in the end and are no nodes
	before  func(f *meshtest.Fleet)
	done    func(r *mesh.Record) bool
	calls   []string // that are interrupted, nil for all
	drain   int      // seconds, of the service web
	gone    bool     // in the end there is no cluster
	older   bool     // the record has no voters yet
}

func (s story) act(ctx context.Context, c *meshclient.Client, f *meshtest.Fleet) error {
	if s.kind == removal {
		return s.subject.remove(ctx, c, f)
	}
	return s.subject.put(ctx, c, f, s.kind == creation)
}

// stage is the fleet as the story finds it.
func (s story) stage(t testing.TB) *meshtest.Fleet {
	f := meshtest.New(t, slices.Concat(s.nodes, s.bare)...)
	if existing := s.existing(); slices.Contains(existing, mesh.ClusterRef) {
		r := s.record(t, f, existing)
		for _, name := range s.hosts {
			f.Node(name).SetRecord(r, "")
		}
		for _, name := range s.nodes {
			f.Node(name).SetRecord(r, name)
		}
	}
	if s.before != nil {
		s.before(f)
	}
	f.ResetRequests()
	return f
}

func (s story) record(t testing.TB, f *meshtest.Fleet, existing []mesh.Ref) *mesh.Record {
	t.Helper()
	r, err := mesh.NewRecord("0123456789abcdef", demo())
	check := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	check(err)
	for _, name := range s.nodes {
		n := f.Node(name).MeshNode()
		n.SSH.HostKey, n.UnderlayMTU = f.Node(name).HostKey, 1500
		check(r.PutNode(&n))
	}
	if slices.Contains(existing, mesh.ServiceRef("web")) {
		service := web("n1")
		service.DrainSeconds = s.drain
		check(r.PutService(&service))
	}
	if slices.Contains(existing, mesh.MustParseRef("port/8000/tcp")) {
		published := port(8000)
		check(r.PutPort(&published))
	}
	if !s.older {
		r.Voters = mesh.NewVoters(f.Hosts(s.hosts...), nil)
	}
	return r.Next()
}

// existing lists the objects that there are before the story.
func (s story) existing() []mesh.Ref {
	var objects []mesh.Ref
	for _, r := range s.others {
		objects = append(objects, r.object)
	}
	if s.kind != creation {
		objects = append(objects, s.subject.object)
	}
	return objects
}

func aCluster(change func(*mesh.Cluster)) resource {
	cl := demo()
	if change != nil {
		change(&cl)
	}
	return resource{
		object: mesh.ClusterRef,
		put: func(ctx context.Context, c *meshclient.Client, _ *meshtest.Fleet, create bool) error {
			if create {
				return outcome(c.CreateCluster(ctx, cl))
			}
			return outcome(c.UpdateCluster(ctx, cl))
		},
		remove: func(ctx context.Context, c *meshclient.Client, _ *meshtest.Fleet) error {
			return outcome(c.DestroyCluster(ctx, "demo", false))
		},
	}
}

func aNode(name string) resource {
	return resource{
		object: mesh.NodeRef(name),
		put: func(ctx context.Context, c *meshclient.Client, f *meshtest.Fleet, create bool) error {
			return outcome(c.PutNode(ctx, "demo", f.Node(name).MeshNode(), create))
		},
		// The second time as the provider does after a removal that was cut off.
		remove: func(ctx context.Context, c *meshclient.Client, f *meshtest.Fleet) error {
			if err := outcome(c.RemoveNode(ctx, "demo", name, false)); err != nil {
				return err
			}
			return c.CleanHost(ctx, "demo", f.Node(name).MeshNode())
		},
	}
}

func aService(s mesh.Service) resource {
	return resource{
		object: mesh.ServiceRef(s.Name),
		put: func(ctx context.Context, c *meshclient.Client, _ *meshtest.Fleet, create bool) error {
			return outcome(c.PutService(ctx, "demo", s, create))
		},
		remove: func(ctx context.Context, c *meshclient.Client, _ *meshtest.Fleet) error {
			return outcome(c.RemoveService(ctx, "demo", s.Name))
		},
	}
}

func aPort(p mesh.PublishedPort) resource {
	return resource{
		object: mesh.PortRef(p.Key()),
		put: func(ctx context.Context, c *meshclient.Client, _ *meshtest.Fleet, create bool) error {
			return outcome(c.PutPort(ctx, "demo", p, create))
		},
		remove: func(ctx context.Context, c *meshclient.Client, _ *meshtest.Fleet) error {
			return outcome(c.RemovePort(ctx, "demo", "web", p.Key()))
		},
	}
}

func outcome(_ *meshclient.Result, err error) error { return err }

func committed(err error) bool {
	e, ok := errors.AsType[*meshclient.ProblemsError](err)
	return ok && e.Committed
}

func objectsOf(r *mesh.Record) []mesh.Ref {
	objects := []mesh.Ref{mesh.ClusterRef}
	for name := range r.Nodes {
		objects = append(objects, mesh.NodeRef(name))
	}
	for name := range r.Services {
		objects = append(objects, mesh.ServiceRef(name))
	}
	for k := range maps.Keys(r.Ports) {
		objects = append(objects, mesh.PortRef(k))
	}
	return objects
}

func has(r *mesh.Record, o mesh.Ref) bool { return slices.Contains(objectsOf(r), o) }

// stories are the operations of the provider on a small cluster.
func stories() []story {
	nodes := []resource{aCluster(nil), aNode("n1"), aNode("n2"), aNode("n3")}
	served := slices.Concat(nodes, []resource{aService(web("n1"))})
	published := slices.Concat(served, []resource{aPort(port(8000))})
	moved := port(8000)
	moved.Target = 81
	key := mesh.PortKey{Port: 8000, Protocol: mesh.TCP}
	with := func(o mesh.Ref) func(*mesh.Record) bool { return func(r *mesh.Record) bool { return has(r, o) } }
	without := func(o mesh.Ref) func(*mesh.Record) bool { return func(r *mesh.Record) bool { return !has(r, o) } }
	wider := aCluster(func(c *mesh.Cluster) { c.MTU = 1400 })
	return []story{
		{name: "create cluster", subject: aCluster(nil), bare: three, hosts: three, keepers: three, done: with(mesh.ClusterRef)},
		{name: "join", subject: aNode("n4"), others: nodes, nodes: three, bare: []string{"n4"}, hosts: three, done: with(mesh.NodeRef("n4"))},
		{name: "join a keeper", subject: aNode("n1"), others: []resource{aCluster(nil)}, bare: three, hosts: three, keepers: three, done: with(mesh.NodeRef("n1"))},
		{name: "create service", subject: aService(web("n1")), others: nodes, nodes: three, hosts: three, done: with(mesh.ServiceRef("web"))},
		{name: "create port", older: true, subject: aPort(port(8000)), others: served, nodes: three, hosts: three, done: with(mesh.MustParseRef("port/8000/tcp"))},
		{name: "create port with one host", subject: aPort(port(8000)), others: served, nodes: three, hosts: []string{"n1"}, done: with(mesh.MustParseRef("port/8000/tcp"))},
		{name: "create port on one node", subject: aPort(port(8000)), others: []resource{aCluster(nil), aNode("n1"), aService(web("n1"))},
			nodes: three[:1], hosts: three[:1], done: with(mesh.MustParseRef("port/8000/tcp"))},
		{name: "change port", kind: update, subject: aPort(moved), others: served, nodes: three, hosts: three,
			done: func(r *mesh.Record) bool { return r.Ports[key] != nil && r.Ports[key].Target == 81 }},
		{name: "remove port", kind: removal, older: true, subject: aPort(port(8000)), others: served, nodes: three, hosts: three, done: without(mesh.MustParseRef("port/8000/tcp"))},
		{name: "change cluster", kind: update, subject: wider, others: published[1:], nodes: three, hosts: three,
			done: func(r *mesh.Record) bool { return r.Cluster.MTU == 1400 }},
		{name: "leave an older cluster", kind: removal, older: true, subject: aNode("n3"), others: []resource{aCluster(nil), aNode("n1"), aNode("n2")},
			nodes: three, hosts: three, done: without(mesh.NodeRef("n3")), calls: []string{mesh.PathCommit, "uninstall"}},
		{name: "leave", kind: removal, subject: aNode("n3"), others: slices.DeleteFunc(slices.Clone(served), func(r resource) bool { return r.object == mesh.NodeRef("n3") }),
			nodes: three, hosts: three, done: without(mesh.NodeRef("n3"))},
		{name: "drain and leave", kind: removal, subject: aNode("n2"), others: []resource{aCluster(nil), aNode("n1"), aService(web("n1")), aPort(port(8000))},
			nodes: three[:2], hosts: three[:1], drain: 1, done: without(mesh.NodeRef("n2")),
			calls: []string{mesh.PathDrains, mesh.PathCommit}, // the others are those of leave
			before: func(f *meshtest.Fleet) {
				f.Node("n1").SetDrains(mesh.Drains{Drains: []mesh.Drain{{Port: key, Service: "web", Endpoint: "on-n2", Node: "n2", RemainingMillis: 1000}}}, 1)
			}},
		{name: "leave the last host", kind: removal, subject: aNode("n1"), others: []resource{aCluster(nil)}, nodes: []string{"n1"}, hosts: []string{"n1"},
			keepers: []string{"n1"}, done: without(mesh.NodeRef("n1"))},
		{name: "destroy cluster", kind: removal, subject: aCluster(nil), bare: three, hosts: three, keepers: three, gone: true},
		{name: "upgrade", kind: update, subject: aPort(moved), others: served, nodes: three, hosts: three,
			before: func(f *meshtest.Fleet) {
				f.Node("n1").SetAgentVersion("old", mesh.APIVersion)
				f.Node("n2").SetAgentVersion("ancient", mesh.APIVersion-1)
			},
			done: func(r *mesh.Record) bool { return r.Ports[key] != nil && r.Ports[key].Target == 81 }},
		{name: "repair", kind: update, subject: aPort(port(8000)), others: served, nodes: three, hosts: three,
			before: func(f *meshtest.Fleet) {
				f.Node("n2").Break(mesh.Problem{Object: mesh.MustParseRef("port/8000/tcp"), Text: "IPVS has no service 10.255.1.1:8000/tcp."})
				f.Node("n3").Break(mesh.Problem{Object: mesh.MustParseRef("port/8000/tcp"), Text: "IPVS has no service 10.255.2.1:8000/tcp."})
			},
			done: with(mesh.MustParseRef("port/8000/tcp"))},
	}
}
