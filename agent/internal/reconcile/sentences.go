package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// sentence says what op would mend.
func sentence(op state.Op) string {
	switch op.Action {
	case state.Add:
		return missingSentence(op.New)
	case state.Remove:
		return extraSentence(op.Old)
	}
	return changedSentence(op.Old, op.New)
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
	case state.Sysctl:
		return fmt.Sprintf("The sysctl %s is not %s (%s).", o.Name, o.Value, o.NS)
	}
	return fmt.Sprintf("The %s is missing.", o)
}

func extraSentence(o state.Object) string {
	switch o := o.(type) {
	case state.VirtualServer:
		return fmt.Sprintf("IPVS has a service %s/%s that the record does not ask for.", o.Addr, o.Proto)
	case state.RealServer:
		return fmt.Sprintf("IPVS %s/%s has a destination %s that the record does not ask for.", o.Server, o.Proto, o.Addr)
	case state.SetMember:
		if o.Addr.IsValid() {
			return fmt.Sprintf("The ipset %s has the address %s, which the record does not ask for.", o.Set, o.Addr)
		}
		return fmt.Sprintf("The ipset %s has port %d, which the record does not ask for.", o.Set, o.Port)
	case state.Addr, state.Set, state.FDB:
		return fmt.Sprintf("There is an %s that the record does not ask for.", o)
	case state.Sysctl:
		return fmt.Sprintf("The sysctl %s is still %s, as the mesh had set it (%s).", o.Name, o.Value, o.NS)
	}
	return fmt.Sprintf("There is a %s that the record does not ask for.", o)
}

// changedSentence names what differs, not all of both versions, where it can.
func changedSentence(old, wanted state.Object) string {
	switch was := old.(type) {
	case state.Chain:
		if is, ok := wanted.(state.Chain); ok {
			return chainSentence(was, is)
		}
	case state.OwnFile:
		return fmt.Sprintf("The %s %s %s.", was.What, was.Path, was.Fault)
	case state.Sysctl:
		if is, ok := wanted.(state.Sysctl); ok {
			return fmt.Sprintf("The sysctl %s is %s (%s); it should be %s.", was.Name, was.Value, was.NS, is.Value)
		}
	case state.VirtualServer:
		if is, ok := wanted.(state.VirtualServer); ok {
			return serverSentence(was, is)
		}
	case state.RealServer:
		if is, ok := wanted.(state.RealServer); ok {
			return destinationSentence(was, is)
		}
	}
	if fault := faultOf(old); fault != "" {
		return fmt.Sprintf("The %s is not as it should be: %s.", wanted, fault)
	}
	return fmt.Sprintf("Instead of the %s there is the %s.", wanted, old)
}

// faultOf is what is wrong with an object beside its values.
func faultOf(o state.Object) string {
	switch o := o.(type) {
	case state.NetNS:
		return o.Fault
	case state.Veth:
		return o.Fault
	case state.VXLAN:
		return o.Fault
	case state.Set:
		return o.Fault
	}
	return ""
}

func serverSentence(was, is state.VirtualServer) string {
	if was.Scheduler != is.Scheduler {
		return fmt.Sprintf("IPVS %s/%s has the scheduler %s; it should be %s.", is.Addr, is.Proto, was.Scheduler, is.Scheduler)
	}
	if was.Fault == "" {
		return fmt.Sprintf("Instead of %s there is %s.", is, was)
	}
	return fmt.Sprintf("IPVS %s/%s is not as it should be: %s.", is.Addr, is.Proto, was.Fault)
}

func destinationSentence(was, is state.RealServer) string {
	if was.Weight != is.Weight {
		return fmt.Sprintf("IPVS %s/%s has the destination %s with weight %d; it should be %d.", is.Server, is.Proto, is.Addr, was.Weight, is.Weight)
	}
	return fmt.Sprintf("IPVS %s/%s has the destination %s, but it is not as it should be: %s.", is.Server, is.Proto, is.Addr, was.Fault)
}

// chainSentence names the first rule or jump that differs.
func chainSentence(was, is state.Chain) string {
	if was.Rules == "" && is.Rules != "" {
		return fmt.Sprintf("The %s is empty.", is)
	}
	have, want := strings.Split(was.Rules, "\n"), strings.Split(is.Rules, "\n")
	if rule, ok := firstNotIn(want, have); ok {
		return fmt.Sprintf("The %s lacks the rule `%s`.", is, rule)
	}
	if rule, ok := firstNotIn(have, want); ok {
		return fmt.Sprintf("The %s has a rule that is not ours: `%s`.", is, rule)
	}
	haveHooks, wantHooks := strings.Split(was.Hooks, ","), strings.Split(is.Hooks, ",")
	if hook, ok := firstNotIn(wantHooks, haveHooks); ok {
		return fmt.Sprintf("The %s is not jumped to from %s.", is, hook)
	}
	if hook, ok := firstNotIn(haveHooks, wantHooks); ok {
		return fmt.Sprintf("The %s is jumped to from %s as well, which it should not be.", is, hook)
	}
	if was.JumpMatch != is.JumpMatch {
		return fmt.Sprintf("The %s is jumped to by a rule that matches on `%s`; it should be `%s`.", is, was.JumpMatch, is.JumpMatch)
	}
	if was.Hooks != is.Hooks {
		return fmt.Sprintf("The %s is jumped to more than once from the same chain.", is)
	}
	return fmt.Sprintf("The %s has its rules in another order, or one of them twice.", is)
}

// difference names the rule or the jump that tells the chains apart, "" when it
// is their order.
func difference(was, is state.Chain) string {
	have, want := strings.Split(was.Rules, "\n"), strings.Split(is.Rules, "\n")
	if rule, ok := firstNotIn(want, have); ok {
		return fmt.Sprintf("the rule `%s`", rule)
	}
	if rule, ok := firstNotIn(have, want); ok {
		return fmt.Sprintf("the rule `%s`", rule)
	}
	if hook, ok := firstNotIn(strings.Split(is.Hooks, ","), strings.Split(was.Hooks, ",")); ok {
		return "the jump from " + hook
	}
	if was.Hooks != is.Hooks || was.JumpMatch != is.JumpMatch {
		return "the jumps to it"
	}
	return ""
}

// firstNotIn is the first line that the others do not have; an empty one is none.
func firstNotIn(lines, others []string) (string, bool) {
	for _, line := range lines {
		if line != "" && !slices.Contains(others, line) {
			return line, true
		}
	}
	return "", false
}
