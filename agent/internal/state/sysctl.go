package state

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// KernelVersion is a kernel's version: {6, 1}.
type KernelVersion struct{ Major, Minor int }

// ParseKernelVersion reads what uname -r says. What it cannot read counts as new.
func ParseKernelVersion(release string) KernelVersion {
	major, rest, _ := strings.Cut(release, ".")
	minor := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	ma, err := strconv.Atoi(major)
	if err != nil || len(minor) == 0 {
		return KernelVersion{Major: 1 << 15}
	}
	mi, _ := strconv.Atoi(minor[0]) // only digits
	return KernelVersion{ma, mi}
}

func (v KernelVersion) before(o KernelVersion) bool {
	return cmp.Or(cmp.Compare(v.Major, o.Major), cmp.Compare(v.Minor, o.Minor)) < 0
}

// Sysctl is a kernel setting. In the host's namespace its value from before is
// kept and put back when the mesh leaves.
type Sysctl struct {
	NS    NS
	Name  string // dotted, "net.ipv4.ip_forward"
	Value string
}

// Key implements Object.
func (s Sysctl) Key() Key       { return Key{Kind: KindSysctl, NS: s.NS, Name: s.Name} }
func (s Sysctl) String() string { return fmt.Sprintf("sysctl %s=%s (%s)", s.Name, s.Value, s.NS) }

// Parent implements Object.
func (s Sysctl) Parent() Key { return parentOf(s.NS, s.link()) }

// Missing implements Object.
func (s Sysctl) Missing() string {
	return fmt.Sprintf("The sysctl %s is not %s (%s).", s.Name, s.Value, s.NS)
}

// Extra implements Object.
func (s Sysctl) Extra() string {
	return fmt.Sprintf("The sysctl %s is still %s, as the mesh had set it (%s).", s.Name, s.Value, s.NS)
}

// Differs implements Object.
func (s Sysctl) Differs(have Object) string {
	was, ok := have.(Sysctl)
	if !ok {
		return differs(s, have)
	}
	return fmt.Sprintf("The sysctl %s is %s (%s); it should be %s.", s.Name, was.Value, was.NS, s.Value)
}

// link is the link in "net.ipv4.conf.rmesh0.rp_filter"; the first word for no link's.
func (s Sysctl) link() string {
	link, _, _ := strings.Cut(strings.TrimPrefix(s.Name, "net.ipv4.conf."), ".")
	return link
}

// ManagedSysctl is a kernel setting that the mesh needs, and why.
type ManagedSysctl struct {
	Sysctl
	Why string
	// Default is what it is while nothing asks for it; "" for what each node asks for.
	Default string

	below KernelVersion // only for kernels older than this; zero: all
}

// ManagedSysctls is every kernel setting that the mesh needs on a kernel of the
// given version. compile asks for these, the kernel package reads these (and,
// in the host's namespace, those that it has changed before).
//
// A new namespace takes conf.all, conf.default and the neighbours' settings from
// the first one (net.core.devconf_inherit_init_net), and a new link conf.default.
// send_redirects is on where either "all" or the link says so, rp_filter is the
// larger of the two (Documentation/networking/ip-sysctl.rst): so each is written
// for "all", for the links, and for links to come. forwarding is the link's alone.
// What is about ARP does not matter, for there is none (see Neigh). The others do
// not matter either: TestInheritedSettings has them all turned the other way.
func ManagedSysctls(v KernelVersion) []ManagedSysctl {
	all := []ManagedSysctl{
		host("net.ipv4.ip_forward", "1", "packets pass between the outside and rmesh0"),
		host("net.ipv4.conf."+HostLink+".forwarding", "1", "where ip_forward was on already, conf.default.forwarding may be off"),
		host("net.ipv4.conf."+HostLink+".route_localnet", "1", "a client on 127.0.0.1 is answered through rmesh0"),
		host("net.ipv4.conf."+HostLink+".rp_filter", "2", "clients of host-mode ports keep their addresses, which strict checking would drop"),

		mesh("net.ipv4.ip_forward", "1", "packets pass between host0 and vx0"),
		mesh("net.ipv4.conf."+MeshLink+".forwarding", "1", "ip_forward is on in a namespace made on a host where it is, conf.default.forwarding may be off"),
		mesh("net.ipv4.conf."+OverlayLink+".forwarding", "1", "as of "+MeshLink),
		mesh("net.ipv4.ip_early_demux", "0", "nearly all packets are passed on: to look for a socket of theirs first is in vain"),
		mesh("net.ipv4.vs.snat_reroute", "0", "without policy routing in here an answer's second route would be its first again"),
		mesh(ConntrackPrefix+"tcp_be_liberal", "1", "a segment outside of the window is the endpoint's to judge: not tracked, it would meet no process here and be answered with a reset (kubernetes#74839)"),
		mesh("net.ipv4.vs.conntrack", "1", "SNAT after IPVS needs connection tracking of its packets"),
		mesh("net.ipv4.vs.expire_nodest_conn", "1", "a connection to a destination that is gone ends at once instead of hanging"),
		mesh("net.ipv4.vs.expire_quiescent_template", "1", "affinity leaves a destination of weight 0"),
	}
	for _, link := range []string{"all", "default", OverlayLink, MeshLink} {
		all = append(all,
			mesh("net.ipv4.conf."+link+".rp_filter", "1", "another node sends with addresses of its own block, the host with none of another's: a packet that comes from where no answer would go is forged"),
			mesh("net.ipv4.conf."+link+".send_redirects", "0", "a packet may leave by the link it came in on; nobody should be told of a shorter way"),
		)
	}
	reuse := mesh("net.ipv4.vs.conn_reuse_mode", "0", "with connection tracking, a client's reused port costs one second: fixed in 5.9 by 35dfb013149f (kubernetes#70747)")
	reuse.below = KernelVersion{5, 9}
	all = append(all, reuse)

	applies := all[:0]
	for _, s := range all {
		if s.below == (KernelVersion{}) || v.before(s.below) {
			applies = append(applies, s)
		}
	}
	return applies
}

// NetworkSysctls are the settings that a node needs while the record has networks.
func NetworkSysctls() []ManagedSysctl {
	reflect := mesh("net.ipv4.fwmark_reflect", "1", "a refusal carries the identity of whom it refuses, or that one's node would drop it")
	reflect.Default = "0"
	rate := mesh("net.ipv4.icmp_ratemask", "0", "the kernel sends one refusal a second to each client otherwise, and the others wait")
	rate.Default = "6168"
	return []ManagedSysctl{reflect, rate}
}

// ConntrackPrefix starts the names of conntrack's settings, which are there once
// the kernel has it loaded.
const ConntrackPrefix = "net.netfilter.nf_conntrack_"

// Idle is for how long an idle connection is kept: by IPVS, and by conntrack of
// the mesh namespace, without whose entry IPVS's is of no use.
func Idle(tcp, udp time.Duration) []Object {
	t := Timeouts{TCPSeconds: int(tcp.Seconds()), UDPSeconds: int(udp.Seconds())}
	setting := func(name string, seconds int) Object {
		return Sysctl{NS: Mesh, Name: ConntrackPrefix + name, Value: strconv.Itoa(seconds)}
	}
	return []Object{
		t,
		setting("tcp_timeout_established", t.TCPSeconds),
		setting("udp_timeout", t.UDPSeconds),
		setting("udp_timeout_stream", t.UDPSeconds),
	}
}

// Global says whether a setting is the whole host's: one that was there before
// us, has others who care for it, and is put back when the mesh leaves.
func (s Sysctl) Global() bool {
	return s.NS == Host && !strings.HasPrefix(s.Name, "net.ipv4.conf."+HostLink+".")
}

func host(name, value, why string) ManagedSysctl {
	return ManagedSysctl{Sysctl: Sysctl{NS: Host, Name: name, Value: value}, Why: why}
}

func mesh(name, value, why string) ManagedSysctl {
	return ManagedSysctl{Sysctl: Sysctl{NS: Mesh, Name: name, Value: value}, Why: why}
}
