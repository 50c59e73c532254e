package route

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// ObserveRules reads the policy rules: in the host's namespace those of our priority, in the
// mesh's all but those that the kernel makes.
func ObserveRules(space *netns.Space, ns state.NS, into state.State) error {
	filter, mask := &netlink.Rule{}, uint64(0)
	if ns == state.Host {
		filter.Priority, mask = state.RulePriority, netlink.RT_FILTER_PRIORITY
	}
	rules, err := nlmsg.List("policy rules", func() ([]netlink.Rule, error) {
		return space.Netlink.RuleListFiltered(unix.AF_INET, filter, mask)
	})
	if err != nil {
		return err
	}
	for _, rule := range rules {
		if ns == state.Host || !byKernel(rule) {
			into.Put(ruleOf(ns, rule))
		}
	}
	return nil
}

// byKernel says that every namespace has the rule: fib_default_rules_init.
func byKernel(r netlink.Rule) bool {
	switch r.Priority {
	case 0, -1: // the library's word for a rule without the attribute
		return r.Table == unix.RT_TABLE_LOCAL
	case state.MainRule:
		return r.Table == unix.RT_TABLE_MAIN
	case state.MainRule + 1:
		return r.Table == unix.RT_TABLE_DEFAULT
	}
	return false
}

func ruleOf(ns state.NS, r netlink.Rule) state.Rule {
	o := state.Rule{NS: ns, Except: r.Invert, Mark: r.Mark, Table: r.Table, Priority: r.Priority, Goto: max(r.Goto, 0)}
	if r.Src != nil {
		o.From = nlmsg.ToPrefix(r.Src)
	}
	if o.Goto != 0 {
		o.Table = 0
	}
	return o
}

// PutRule adds the new version before it removes the old one.
func PutRule(space *netns.Space, old state.Object, r state.Rule) error {
	if err := nlmsg.Ignore(space.Netlink.RuleAdd(ruleRequest(r)), unix.EEXIST); err != nil {
		return err
	}
	if was, ok := old.(state.Rule); ok && was != r {
		return RemoveRule(space, was)
	}
	return nil
}

// RemoveRule removes a rule that may be gone.
func RemoveRule(space *netns.Space, r state.Rule) error {
	return nlmsg.Ignore(space.Netlink.RuleDel(ruleRequest(r)), unix.ENOENT)
}

func ruleRequest(r state.Rule) *netlink.Rule {
	request := netlink.NewRule()
	request.Family, request.Priority, request.Invert = unix.AF_INET, r.Priority, r.Except
	if r.Goto != 0 {
		request.Goto = r.Goto
	} else {
		request.Table = r.Table
	}
	if r.From.IsValid() {
		request.Src = nlmsg.ToIPNet(r.From)
	}
	if r.Mark != 0 {
		mask := r.Mark
		request.Mark, request.Mask = r.Mark, &mask
	}
	return request
}
