package firewall

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/nft"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// question is one kind of packet that the mesh needs to pass a hook.
type question struct {
	what   string // "VXLAN from node n2"
	group  string // questions of one group are asked for in one rule
	packet nft.Packet
	// ours says that the mesh's own chain accepts it, where the packet gets there.
	ours bool
	// rule is the nft rule that would let it pass, legacy the one of iptables; %s in
	// them is the group's values.
	rule, legacy, value string
	// entry says that what comes from outside to the mesh's ports gets nowhere without it.
	entry bool
}

// mostPorts is how many published ports are asked about.
const mostPorts = 16

// questions are those for one node, by hook.
func questions(rec *mesh.Record, node, underlay string) map[nft.Hook][]question {
	self := rec.Nodes[node]
	q := map[nft.Hook][]question{}
	vxlan(q, rec, self, underlay)
	entries(q, rec, self)
	endpoints(q, rec, self)
	return q
}

func vxlan(q map[nft.Hook][]question, rec *mesh.Record, self *mesh.Node, underlay string) {
	port := rec.Cluster.VXLANPort
	for _, name := range slices.Sorted(maps.Keys(rec.Nodes)) {
		peer := rec.Nodes[name]
		if name == self.Name {
			continue
		}
		in := question{
			what: name, group: "VXLAN from node ", value: peer.Address.String(),
			rule: fmt.Sprintf("ip saddr %%s udp dport %d accept", port), legacy: fmt.Sprintf("-s %%s -p udp --dport %d", port),
			packet: nft.Packet{In: underlay, Src: peer.Address, Dst: self.Address, ToLocal: true, Protocol: nft.UDP, DstPort: port, State: nft.New},
		}
		q[nft.Prerouting] = append(q[nft.Prerouting], in)
		in.ours = true
		q[nft.Input] = append(q[nft.Input], in)
		out := question{
			what: name, group: "VXLAN to node ", value: peer.Address.String(),
			rule: fmt.Sprintf("ip daddr %%s udp dport %d accept", port), legacy: fmt.Sprintf("-d %%s -p udp --dport %d", port),
			packet: nft.Packet{Out: underlay, Src: self.Address, Dst: peer.Address, Protocol: nft.UDP, DstPort: port, State: nft.New},
		}
		q[nft.Output] = append(q[nft.Output], out)
		q[nft.Postrouting] = append(q[nft.Postrouting], out)
	}
}

// entries are the ways of a client's packets, and of the answers.
func entries(q map[nft.Hook][]question, rec *mesh.Record, self *mesh.Node) {
	for i, key := range slices.SortedFunc(maps.Keys(rec.Ports), mesh.PortKey.Compare) {
		p := rec.Ports[key]
		if i == mostPorts || !compile.Opens(rec, self.Name, p) {
			continue
		}
		own := p.AddressOn(self.Address)
		if own.IsLoopback() {
			continue // nothing comes from outside
		}
		to, port := compile.ServerAddress(self, p).Addr(), key.Plain().String()
		translated := key.Port
		if p.IsRange() {
			translated = p.Target
		}
		before := &nft.Packet{Dst: own, ToLocal: true, Protocol: protocol(key), DstPort: key.Port, State: nft.New}
		after := nft.Packet{Dst: to, Protocol: protocol(key), DstPort: translated, State: nft.New, DNAT: true, Before: before}
		value := fmt.Sprintf("%s dport %d", key.Protocol, key.Port)
		q[nft.Prerouting] = append(q[nft.Prerouting], question{
			what: port, group: "what clients send to published port ", rule: "%s accept", legacy: fmt.Sprintf("-p %s --dport %d", key.Protocol, key.Port), value: value, entry: true, packet: after,
		})
		after.Before, after.Out = nil, state.HostLink
		in := question{
			what: port, group: "what clients send to published port ", rule: `oifname "` + state.HostLink + `" ct status dnat accept`,
			legacy: "-o " + state.HostLink + " -m conntrack --ctstate DNAT", entry: true, ours: true, packet: after,
		}
		q[nft.Forward] = append(q[nft.Forward], in)
		in.ours = false
		q[nft.Postrouting] = append(q[nft.Postrouting], in)
		back := question{
			what: port, group: "the answers of published port ", rule: `iifname "` + state.HostLink + `" ct state established,related accept`,
			legacy: "-i " + state.HostLink + " -m conntrack --ctstate ESTABLISHED,RELATED", entry: true, ours: true,
			packet: nft.Packet{In: state.HostLink, Src: to, Protocol: protocol(key), SrcPort: translated, State: nft.Established, DNAT: true},
		}
		q[nft.Forward] = append(q[nft.Forward], back)
		local := after
		// The output hook sees the link of before the translation: that of an own address.
		local.Out, local.Before = "lo", &nft.Packet{Out: "lo", Dst: own, ToLocal: true, Protocol: protocol(key), DstPort: key.Port, State: nft.New}
		q[nft.Output] = append(q[nft.Output], question{
			what: port, group: "what this host itself sends to published port ", rule: "ip daddr " + to.String() + " accept", legacy: "-d " + to.String(), packet: local,
		})
	}
}

// endpoints are the ways from the mesh to a process of this host, and back.
func endpoints(q map[nft.Hook][]question, rec *mesh.Record, self *mesh.Node) {
	for i, key := range slices.SortedFunc(maps.Keys(endpointPorts(rec, self.Name)), mesh.PortKey.Compare) {
		if i == mostPorts {
			break
		}
		q[nft.Input] = append(q[nft.Input], question{
			what: key.String(), group: "what the mesh sends to the endpoint on port ", rule: `iifname "` + state.HostLink + `" accept`, legacy: "-i " + state.HostLink, ours: true,
			packet: nft.Packet{In: state.HostLink, Dst: self.HostAddress(), ToLocal: true, Protocol: protocol(key), DstPort: key.Port, State: nft.New},
		})
		q[nft.Output] = append(q[nft.Output], question{
			what: key.String(), group: "the answers of the endpoint on port ", rule: `oifname "` + state.HostLink + `" accept`, legacy: "-o " + state.HostLink,
			packet: nft.Packet{Out: state.HostLink, Src: self.HostAddress(), Protocol: protocol(key), SrcPort: key.Port, State: nft.Established},
		})
	}
}

// endpointPorts are those on which endpoints of the node answer.
func endpointPorts(rec *mesh.Record, node string) map[mesh.PortKey]bool {
	ports := map[mesh.PortKey]bool{}
	for key, p := range rec.Ports {
		if service := rec.Services[p.Service]; service != nil {
			for _, e := range service.Endpoints {
				if e.Node == node {
					ports[mesh.PortKey{Port: p.TargetFor(e), Protocol: key.Protocol}] = true
				}
			}
		}
	}
	return ports
}

func protocol(key mesh.PortKey) uint8 {
	if key.Protocol == mesh.UDP {
		return nft.UDP
	}
	return nft.TCP
}

// finding is a base chain that drops something of a group.
type finding struct {
	chain      nft.Chain
	at         string
	hook       nft.Hook
	first      question
	what       []string
	values     []string
	everything bool // it drops all packets of its group
	unsure     bool
}

// judge asks all questions of all base chains.
func judge(r *nft.Ruleset, q map[nft.Hook][]question) (findings []finding) {
	for _, c := range r.Chains {
		if c.Type == "nat" { // it drops nothing that a rule of type filter is needed for
			continue
		}
		groups := map[string]*finding{}
		var order []string
		asked := map[string]int{}
		for _, question := range q[c.Hook] {
			asked[question.group]++
			v := r.Judge(c, question.packet, ours(question.ours))
			if !v.Drops() && !v.Unsure() {
				continue
			}
			id := fmt.Sprint(question.group, v.Drops(), v.At)
			f := groups[id]
			if f == nil {
				f = &finding{chain: c, at: v.At, hook: c.Hook, first: question, unsure: v.Unsure()}
				groups[id], order = f, append(order, id)
			}
			f.what, f.values = append(f.what, question.what), append(f.values, question.value)
		}
		for _, id := range order {
			f := groups[id]
			f.everything = len(f.what) == asked[f.first.group]
			findings = append(findings, *f)
		}
	}
	return findings
}

// ours is what the mesh's own chains do, which are iptables': what they match (sets)
// cannot be read here.
func ours(accepts bool) nft.Known {
	return func(c nft.Chain, chain string) *nft.Verdict {
		switch {
		case c.Family != "ip" || !strings.HasPrefix(chain, state.ChainPrefix):
			return nil
		case accepts:
			return &nft.Verdict{Accept: true}
		}
		return nft.Passes()
	}
}

// text is the warning's. Firewalld's tables are its own business.
func (f finding) text() string {
	where := fmt.Sprintf("nf_tables chain %s (hook %s, priority %d), %s, drops %s", f.chain, f.hook, f.chain.Priority, f.at, f.dropped())
	if f.firewalld() {
		return where + ". It is firewalld's: see `firewall-cmd --list-all-zones` and `firewall-cmd --list-all-policies` for the rule that asks for it, and remove that with firewall-cmd."
	}
	return fmt.Sprintf("%s. An accept elsewhere does not help: every base chain of a hook has to accept, and the agent edits no table that is not its own. Run `%s` there, "+
		"and put the rule into the file that the table comes from (%s), or it is lost when that is loaded again.", where, f.command(), f.file())
}

func (f finding) firewalld() bool { return strings.HasPrefix(f.chain.Table, "firewalld") }

// byIPTables says that the chain is one of iptables' own.
func (f finding) byIPTables() bool {
	return f.chain.Family == "ip" && f.chain.Name == strings.ToUpper(f.chain.Name) && slices.Contains([]string{"filter", "mangle", "raw", "nat", "security"}, f.chain.Table)
}

func (f finding) file() string {
	if f.byIPTables() {
		return "the saved rules of iptables-persistent, or your script"
	}
	return "/etc/nftables.conf, as a rule"
}

// command lets all values of the group pass.
func (f finding) command() string {
	values := slices.Compact(slices.Sorted(slices.Values(f.values)))
	switch rule := f.first.rule; {
	case f.byIPTables() && strings.Contains(f.first.legacy, "%s"):
		return f.iptables(fmt.Sprintf(f.first.legacy, strings.Join(values, ",")))
	case f.byIPTables():
		return f.iptables(f.first.legacy)
	case !strings.Contains(rule, "%s"):
		return f.insert(rule)
	case strings.HasPrefix(rule, "%s"): // a published port
		var commands []string
		for _, v := range values {
			commands = append(commands, f.insert(fmt.Sprintf(rule, v)))
		}
		return strings.Join(commands, "; ")
	case len(values) == 1:
		return f.insert(fmt.Sprintf(rule, values[0]))
	default:
		return f.insert(fmt.Sprintf(rule, "{ "+strings.Join(values, ", ")+" }"))
	}
}

func (f finding) insert(rule string) string {
	return fmt.Sprintf(`nft insert rule %s %s comment "routingmesh"`, f.chain, rule)
}

// iptables is for its own chains: it cannot read every rule that nft puts there.
func (f finding) iptables(match string) string {
	return fmt.Sprintf("iptables -t %s -I %s %s -m comment --comment routingmesh -j ACCEPT", f.chain.Table, f.chain.Name, match)
}

// dropped is what the chain drops: "VXLAN from nodes n2, n3".
func (f finding) dropped() string {
	if word, single := strings.CutSuffix(f.first.group, " "); single && len(f.what) > 1 {
		return word + "s " + list(f.what)
	}
	return f.first.group + list(f.what)
}

func list(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// warningsOf are those of what is surely dropped.
func warningsOf(findings []finding, node string) (warnings []mesh.Warning) {
	for _, f := range findings {
		if !f.unsure {
			warnings = append(warnings, mesh.Warning{
				Code: mesh.WarnFirewall, Object: mesh.NodeRef(node), Text: f.text(), AllTraffic: f.first.entry && f.everything,
			})
		}
	}
	return warnings
}

// notesOf are those of what may be dropped.
func notesOf(findings []finding) (notes []string) {
	for _, f := range findings {
		if f.unsure {
			notes = append(notes, fmt.Sprintf("Whether nf_tables chain %s (hook %s), %s, drops %s cannot be told: it depends on what the agent does not know (a client's address, a rate, a match of xtables).",
				f.chain, f.hook, cmp.Or(f.at, "a rule"), f.dropped()))
		}
	}
	return notes
}
