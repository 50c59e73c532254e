package route

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// ObserveRules reads the policy rules of our priority.
func ObserveRules(host *netns.Space, into state.State) error {
	rules, err := nlmsg.List("policy rules", func() ([]netlink.Rule, error) {
		return host.Netlink.RuleListFiltered(unix.AF_INET, &netlink.Rule{Priority: state.RulePriority}, netlink.RT_FILTER_PRIORITY)
	})
	if err != nil {
		return err
	}
	for _, rule := range rules {
		into.Put(state.Rule{From: ruleFrom(rule), Table: rule.Table, Priority: rule.Priority})
	}
	return nil
}

func ruleFrom(r netlink.Rule) netip.Addr {
	if r.Src == nil {
		return netip.Addr{}
	}
	return nlmsg.ToAddr(r.Src.IP)
}

// PutRule adds the new version before it removes the old one.
func PutRule(host *netns.Space, old state.Object, r state.Rule) error {
	if err := nlmsg.Ignore(host.Netlink.RuleAdd(ruleRequest(r)), unix.EEXIST); err != nil {
		return err
	}
	if was, ok := old.(state.Rule); ok && was != r {
		return RemoveRule(host, was)
	}
	return nil
}

// RemoveRule removes a rule that may be gone.
func RemoveRule(host *netns.Space, r state.Rule) error {
	return nlmsg.Ignore(host.Netlink.RuleDel(ruleRequest(r)), unix.ENOENT)
}

func ruleRequest(r state.Rule) *netlink.Rule {
	request := netlink.NewRule()
	request.Family, request.Table, request.Priority = unix.AF_INET, r.Table, r.Priority
	if r.From.IsValid() {
		request.Src = nlmsg.ToIPNet(netip.PrefixFrom(r.From, r.From.BitLen()))
	}
	return request
}
