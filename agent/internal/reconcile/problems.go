package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// problems puts a plan into sentences, sorted by object and text.
func (r *Reconciler) problems(ops []state.Op) []mesh.Problem {
	missing := map[state.Key]bool{}
	for _, op := range ops {
		if op.Action == state.Add {
			missing[op.New.Key()] = true
		}
	}
	problems := []mesh.Problem{}
	for _, op := range ops {
		// One cause, one sentence: that something is missing says nothing new when
		// what holds it is missing too.
		if op.Action == state.Add && missing[holder(op.New)] {
			continue
		}
		text := sentence(op)
		if err := r.refused[op.Object().Key()]; err != nil {
			text = strings.TrimSuffix(text, ".") + ": " + err.Error() + "."
		}
		problems = append(problems, mesh.Problem{Object: compile.Owner(r.rec, r.node, op.Object()), Text: text})
	}
	slices.SortFunc(problems, func(a, b mesh.Problem) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(problems)
}

// unread is the one problem of a node whose kernel state cannot be read.
func (r *Reconciler) unread(err error) []mesh.Problem {
	return []mesh.Problem{{
		Object: mesh.NodeObject(r.node),
		Text: fmt.Sprintf("The agent cannot read the kernel's state: %v. Until it can, nothing is known of the node's ports; "+
			"see `journalctl -u routingmesh-agent` there.", err),
	}}
}

// holder is the key of what o is in or on, of kind noKind when it is in nothing
// that could be missing.
func holder(o state.Object) state.Key {
	switch o := o.(type) {
	case state.RealServer:
		return state.VirtualServer{Proto: o.Proto, Addr: o.Server}.Key()
	case state.SetMember:
		return state.Set{Name: o.Set}.Key()
	case state.NetNS:
		return state.Key{Kind: noKind}
	case state.Veth:
		return state.NetNS{}.Key()
	case state.Neigh, state.FDB:
		return state.VXLAN{}.Key()
	case state.Addr:
		return linkHolder(o.Link, o.NS)
	case state.Route:
		return linkHolder(o.Dev, o.NS)
	case state.Sysctl:
		link, _, _ := strings.Cut(strings.TrimPrefix(o.Name, "net.ipv4.conf."), ".")
		return linkHolder(link, o.NS)
	}
	return linkHolder("", o.Key().NS)
}

// linkHolder is what is missing when a link is, or else the namespace.
func linkHolder(link string, ns state.NS) state.Key {
	switch {
	case link == state.OverlayLink:
		return state.VXLAN{}.Key()
	case link == state.HostLink, link == state.MeshLink:
		return state.Veth{}.Key()
	case ns == state.Mesh:
		return state.NetNS{}.Key()
	}
	return state.Key{Kind: noKind}
}

// noKind is no object's: the zero Kind is the namespace's.
const noKind = state.Kind(255)

// sentence says what op would mend.
func sentence(op state.Op) string {
	switch op.Action {
	case state.Add:
		return missingSentence(op.New)
	case state.Remove:
		return extraSentence(op.Old)
	}
	if was, ok := op.Old.(state.Chain); ok {
		if is, ok := op.New.(state.Chain); ok {
			return chainSentence(was, is)
		}
	}
	return fmt.Sprintf("It has %s; it should be %s.", op.Old, op.New)
}

func missingSentence(o state.Object) string {
	switch o := o.(type) {
	case state.VirtualServer:
		return fmt.Sprintf("IPVS has no service %s/%s.", o.Addr, o.Proto)
	case state.RealServer:
		return fmt.Sprintf("IPVS %s/%s has no destination %s.", o.Server, o.Proto, o.Addr)
	case state.SetMember:
		if o.Addr.IsValid() {
			return fmt.Sprintf("The ipset %s lacks the address %s.", o.Set, o.Addr)
		}
		return fmt.Sprintf("The ipset %s lacks port %d, so that no traffic gets in.", o.Set, o.Port)
	}
	return fmt.Sprintf("The %s is missing.", o)
}

func extraSentence(o state.Object) string {
	switch o := o.(type) {
	case state.VirtualServer:
		return fmt.Sprintf("IPVS has a service %s/%s that the record does not ask for.", o.Addr, o.Proto)
	case state.RealServer:
		return fmt.Sprintf("IPVS %s/%s has a destination %s that the record does not ask for.", o.Server, o.Proto, o.Addr)
	}
	return fmt.Sprintf("There is a %s that the record does not ask for.", o)
}

// chainSentence names the first rule that differs, not all of both chains.
func chainSentence(was, is state.Chain) string {
	have, want := strings.Split(was.Rules, "\n"), strings.Split(is.Rules, "\n")
	for _, rule := range want {
		if !slices.Contains(have, rule) {
			return fmt.Sprintf("The %s lacks the rule `%s`.", is, rule)
		}
	}
	for _, rule := range have {
		if !slices.Contains(want, rule) {
			return fmt.Sprintf("The %s has a rule that is not ours: `%s`.", is, rule)
		}
	}
	if was.Hooks != is.Hooks || was.JumpMatch != is.JumpMatch {
		return fmt.Sprintf("The %s is not what %s jumps to first.", is, strings.ReplaceAll(is.Hooks, ",", " and "))
	}
	return fmt.Sprintf("The %s has its rules in another order.", is)
}
