package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"

	"github.com/vishvananda/netlink"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/hairpin"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipset"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/iptables"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipvs"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Missing is something that this host lacks.
type Missing struct {
	What string // "kernel module ip_vs"
	Why  string // what for, and what the kernel said
	Fix  string // "apt install …"
}

// Requirements tries what the mesh needs and reports what this host lacks. It
// does the real thing in a network namespace that is thrown away: a list of
// modules says little where they are built in, or loaded by the host of a
// container, or there but refused by the distribution's iptables.
func Requirements(ctx context.Context) []Missing {
	return try(ctx, func(p *probes) {
		p.kernel()
		p.iptables()
	})
}

// PreserveRequirements is Requirements for what only ports need that preserve clients'
// addresses.
func PreserveRequirements(ctx context.Context) []Missing {
	return try(ctx, func(p *probes) {
		p.rules([]rule{
			{"match connmark, CONNMARK (xt_connmark)", "nat", "-A PROBE -m connmark --mark 0x1000/0x1000 -j CONNMARK --set-xmark 0x1000/0x1000"},
			{"MARK (xt_mark, iptable_mangle)", "mangle", "-A PROBE " + state.MarkAnswers + "0x1000/0x1000"},
		})
	})
}

// RangeRequirements is Requirements for what only ranges of ports need.
func RangeRequirements(ctx context.Context) []Missing {
	return try(ctx, func(p *probes) {
		p.rules([]rule{
			{"DNAT to a range of ports (xt_nat of Linux 4.18, iptables 1.8)", "nat", "-A PROBE -p tcp -m tcp --dport 10:19 -j DNAT --to-destination 192.0.2.1:20-29/10"},
			{"MARK, match mark (xt_mark, iptable_mangle)", "mangle", "-A PROBE -m mark --mark 0x52000000/0xfff80000 -j MARK --set-xmark 0x0/0xffffffff"},
		})
	})
}

// NetworkRequirements is Requirements for what only networks need.
func NetworkRequirements(ctx context.Context) []Missing {
	return try(ctx, func(p *probes) {
		if err := p.gbp(); err != nil {
			p.lacks("VXLAN group policy (Linux 3.20)", "packets of members carry the identity of their networks", err, program.ExtraModules)
		}
		for _, set := range state.NetworkSets() {
			if err := p.set(set)(); err != nil {
				p.lacks("ipset of the type "+string(set.Type), "the members of networks", err, program.ExtraModules)
			}
		}
		p.rules([]rule{
			{"SET --map-set (xt_set, iptable_mangle)", "mangle", "-A PROBE -j SET --map-set " + state.IdentitySet + " src --map-mark"},
			{"MARK, match mark (xt_mark)", "mangle", "-A PROBE -m mark ! --mark 0x0/0xffff0000 -j MARK --set-xmark 0x0/0xffffffff"},
			{"REJECT (ipt_REJECT)", "filter", "-A PROBE -j REJECT --reject-with icmp-admin-prohibited"},
		})
		probe := state.Hairpin{Source: netip.MustParseAddr("192.0.2.1"), Members: "192.0.2.2"}
		if err := hairpin.Put(p.scratch, probe); err != nil {
			p.lacks("kernel module nf_tables", "packets that a container sends to itself by its service's VIP", err, program.ExtraModules)
		}
	})
}

func try(ctx context.Context, probe func(*probes)) []Missing {
	var missing []Missing
	err := netns.DoInNew(func() (err error) {
		missing, err = tryAll(ctx, probe)
		return err
	})
	if err != nil {
		missing = append(missing, Missing{
			What: "permission to make network namespaces", Why: "the mesh lives in one: " + err.Error(),
			Fix: "run the agent as root, in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN",
		})
	}
	return missing
}

func tryAll(ctx context.Context, probe func(*probes)) ([]Missing, error) {
	scratch, err := scratchNamespace()
	if err != nil {
		return nil, err
	}
	p := &probes{ctx: ctx, scratch: scratch}
	probe(p)
	if err := scratch.Close(); err != nil {
		p.lacks("a namespace that can be left", "", err, "")
	}
	return p.missing, nil
}

// scratchNamespace opens the one that the thread is in, and makes it fit for IPVS.
func scratchNamespace() (*netns.Space, error) {
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	s, err := netns.NewSpace(ns)
	if err != nil {
		return nil, err
	}
	lo, err := s.LinkIndex("lo")
	if err == nil {
		// IPVS takes a namespace's destinations once it has an address (inet_addr_type).
		err = s.Netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: lo}})
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// probes tries one thing after the other and notes what does not work.
type probes struct {
	ctx      context.Context
	scratch  *netns.Space
	programs program.Runner
	missing  []Missing
}

func (p *probes) lacks(what, purpose string, err error, fix string) {
	p.missing = append(p.missing, Missing{What: what, Why: purpose + ": " + err.Error(), Fix: fix})
}

func (p *probes) kernel() {
	for _, probe := range []struct {
		module, purpose string
		try             func() error
	}{
		{"veth", "the link between the host and the mesh", p.veth},
		{"vxlan", "the overlay between the nodes", p.vxlan},
		{"ip_set, ip_set_bitmap_port", "the sets of published ports", p.set(state.Set{Name: probeSet, Type: state.BitmapPort})},
		{"ip_set_hash_ip", "the set of the other nodes", p.set(state.Set{Name: probeSet + "-ip", Type: state.HashIP})},
		{"ip_set_hash_netport", "the set of who may connect to a published port", p.set(state.Set{Name: probeSet + "-net", Type: state.HashNetPort})},
		{"ip_vs, ip_vs_rr", "the balancing of connections", p.ipvs},
	} {
		if err := probe.try(); err != nil {
			p.lacks("kernel module "+probe.module, probe.purpose, err, program.ExtraModules)
		}
	}
}

const probeSet = state.SetPrefix + "probe"

func (p *probes) veth() error {
	link := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "probe1"}
	link.Name = "probe0"
	return p.scratch.Netlink.LinkAdd(link)
}

func (p *probes) vxlan() error {
	link := &netlink.Vxlan{LinkAttrs: netlink.NewLinkAttrs(), VxlanId: 1, Port: 4789}
	link.Name = "probe2"
	return p.scratch.Netlink.LinkAdd(link)
}

func (p *probes) gbp() error {
	link := &netlink.Vxlan{LinkAttrs: netlink.NewLinkAttrs(), VxlanId: 1, Port: 4789, GBP: true}
	link.Name = "probe3"
	if err := p.scratch.Netlink.LinkAdd(link); err != nil {
		return err
	}
	made, err := p.scratch.Link(link.Name)
	if vx, ok := made.(*netlink.Vxlan); err == nil && (!ok || !vx.GBP) {
		err = errors.New("the kernel makes the device without the flag gbp")
	}
	return err
}

func (p *probes) set(set state.Set) func() error {
	return func() error {
		sets, err := ipset.Open(p.scratch.NS, set.NS)
		if err != nil {
			return err
		}
		defer sets.Close()
		return sets.Create(set)
	}
}

func (p *probes) ipvs() error {
	b := ipvs.New(p.scratch, &p.programs)
	defer b.Close()
	server := netip.MustParseAddrPort("192.0.2.1:1")
	v := state.VirtualServer{Proto: "tcp", Addr: server, Scheduler: "rr"}
	if err := b.PutVirtual(p.ctx, v); err != nil {
		return err
	}
	return b.PutReal(p.ctx, state.RealServer{Proto: "tcp", Server: server, Addr: netip.MustParseAddrPort("192.0.2.2:1"), Weight: 1})
}

// iptables tries one rule for each extension that our chains use.
func (p *probes) iptables() {
	for _, name := range []string{"iptables-save", "iptables-restore"} {
		if _, err := program.Find(name); err != nil {
			p.lacks("program "+name, "the rules that lead packets to the mesh", exec.ErrNotFound, "apt install iptables, or dnf install iptables-nft")
			return
		}
	}
	p.rules([]rule{
		{"DNAT (nf_nat, xt_nat, iptable_nat)", "nat", "-A PROBE -p tcp -j DNAT --to-destination 192.0.2.1"},
		{"SNAT (nf_nat, xt_nat, iptable_nat)", "nat", "-I POSTROUTING 1 -s 192.0.2.1 -j SNAT --to-source 192.0.2.1"},
		{"match set (xt_set)", "filter", "-A PROBE -p tcp -m set --match-set " + probeSet + " dst -j RETURN"},
		{"REJECT (ipt_REJECT)", "filter", "-A PROBE -p tcp -j REJECT --reject-with tcp-reset"},
		{"match addrtype (xt_addrtype)", "nat", "-A PROBE -m addrtype --dst-type LOCAL -j RETURN"},
		{"match conntrack (nf_conntrack, xt_conntrack)", "filter", "-A PROBE -m conntrack --ctstate RELATED,ESTABLISHED,DNAT --ctorigdst 192.0.2.1 -j ACCEPT"},
		{"match bpf (xt_bpf)", "filter", `-A PROBE -p udp -m bpf --bytecode "1,6 0 0 0" -j DROP`},
		{"CT --notrack (iptable_raw, xt_CT)", "raw", "-A PROBE -j CT --notrack"},
	})
}

// rule needs an extension of iptables.
type rule struct{ what, table, rule string }

func (p *probes) rules(all []rule) {
	for _, r := range all {
		input := fmt.Sprintf("*%s\n:PROBE - [0:0]\n%s\nCOMMIT\n", r.table, r.rule)
		err := p.scratch.Do(func() error { return p.restored(input, r.table) })
		if err != nil {
			p.lacks("iptables "+r.what, "the rules that lead packets to the mesh", err, program.ExtraModules)
		}
	}
}

// restored loads rules and reads them back: where nft_compat lacks an extension,
// iptables-nft may take a rule and keep an empty one (kops#18733, EL10).
func (p *probes) restored(input, table string) error {
	if err := iptables.Restore(p.ctx, &p.programs, input); err != nil {
		return err
	}
	text, err := p.programs.Run(p.ctx, "", "iptables-save", "-t", table)
	if err != nil {
		return err
	}
	rs, err := iptables.Parse(text)
	if err != nil {
		return err
	}
	for rule := range rs.Rules(table) {
		if rule == "" || rule[0] != '-' && rule[0] != '!' {
			return errors.New("iptables-save gives back something else: " + rule)
		}
	}
	return nil
}
