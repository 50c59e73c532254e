package mesh

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Protocol is the transport of a published port.
type Protocol string

// The protocols a port can be published for.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Mode says on which nodes a published port is open, in Swarm's words.
type Mode string

const (
	// Ingress opens the port on every node; connections are balanced over all
	// endpoints of the service.
	Ingress Mode = "ingress"
	// Host opens the port only on nodes with an endpoint, which answers itself.
	// The endpoint sees the client's own address.
	Host Mode = "host"
)

// DefaultPortRange is where Swarm takes ports from when none is named.
var DefaultPortRange = PortRange{First: 30000, Last: 32767}

// PortKey identifies a published port in its cluster.
type PortKey struct {
	Port     uint16
	Protocol Protocol
	// VIP tells ports with one number and protocol apart, which are open at different
	// addresses: which pair of VIPs it has on each node, 0–MaxVIPs-1.
	VIP uint8
}

// String is Docker's notation, "8080/tcp", with the pair of VIPs where that is not 0:
// "8080/tcp/1".
func (k PortKey) String() string {
	if k.VIP == 0 {
		return strconv.FormatUint(uint64(k.Port), 10) + "/" + string(k.Protocol)
	}
	return string(k.append(nil))
}

// Compare orders keys by port, then protocol.
func (k PortKey) Compare(o PortKey) int {
	return cmp.Or(cmp.Compare(k.Port, o.Port), cmp.Compare(k.Protocol, o.Protocol), cmp.Compare(k.VIP, o.VIP))
}

// MarshalText writes what String does.
func (k PortKey) MarshalText() ([]byte, error) {
	return k.append(make([]byte, 0, len("65535/tcp"))), nil
}

func (k PortKey) append(text []byte) []byte {
	text = strconv.AppendUint(text, uint64(k.Port), 10)
	text = append(append(text, '/'), k.Protocol...)
	if k.VIP == 0 {
		return text
	}
	return strconv.AppendUint(append(text, '/'), uint64(k.VIP), 10)
}

// UnmarshalText reads "8080/tcp" or "8080/tcp/1".
func (k *PortKey) UnmarshalText(text []byte) error {
	parsed, err := parsePortKey(string(text))
	*k = parsed
	return err
}

// parsePortKey reads what String writes.
func parsePortKey(s string) (PortKey, error) {
	plain, vip, further := cutLast(s)
	k, err := ParsePortKey(plain)
	if err != nil || !further {
		return k, err
	}
	n, err := strconv.ParseUint(vip, 10, 8)
	if err != nil || n == 0 || n >= MaxVIPs || strconv.FormatUint(n, 10) != vip {
		return PortKey{}, fmt.Errorf("%q is no published port: a further one of its number ends with 1–%d, as in 8080/tcp/1", s, MaxVIPs-1)
	}
	k.VIP = uint8(n)
	return k, nil
}

// cutLast takes the third part of a key off.
func cutLast(s string) (plain, last string, found bool) {
	if strings.Count(s, "/") != 2 {
		return s, "", false
	}
	i := strings.LastIndexByte(s, '/')
	return s[:i], s[i+1:], true
}

// ParsePortKey reads "8080/tcp" or "53/udp".
func ParsePortKey(s string) (PortKey, error) {
	port, proto, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return PortKey{}, fmt.Errorf("%q is no published port: want PORT/PROTOCOL, as in 8080/tcp", s)
	}
	k := PortKey{Port: uint16(n), Protocol: Protocol(proto)}
	if k.Protocol != TCP && k.Protocol != UDP {
		return PortKey{}, fmt.Errorf("%q is no published port: the protocol must be tcp or udp", s)
	}
	return k, nil
}

// PublishedPort is a port opened for a service.
type PublishedPort struct {
	Service   string `json:"service"`
	Published uint16 `json:"published"`
	// Last is the last port of a range that begins at Published, 0 for a single port.
	Last uint16 `json:"last_port,omitempty"`
	// Target is the port on which endpoints answer, of a range that of its first port.
	Target   uint16   `json:"target"`
	Protocol Protocol `json:"protocol"`
	Mode     Mode     `json:"mode"`
	// Locality is "" for any.
	Locality Locality `json:"locality,omitempty"`
	// OnePacket schedules every packet of a udp port by itself.
	OnePacket bool `json:"one_packet,omitempty"`
	// AllowedCIDRs are who may connect from outside of the nodes; "" is everybody.
	AllowedCIDRs PrefixList `json:"allowed_cidrs,omitempty"`
	// Nodes are those on which it is open, of those that its mode says.
	Nodes NodeList `json:"nodes,omitempty"`
	// Listen are the addresses of a node at which it is open; "" is all of them.
	Listen PrefixList `json:"listen_addresses,omitempty"`
	// VIP is which pair of VIPs it has on each node, 0 but for further ports of one number.
	VIP uint8 `json:"vip,omitempty"`
	// ClientAddress is which address endpoints see as the client's.
	ClientAddress ClientAddress `json:"client_address,omitempty"`
	// PreservedBefore says that ClientAddress was Preserve: connections of then may still
	// run, so that the nodes keep what leads their answers back. PutPort sets it.
	PreservedBefore bool `json:"preserved_before,omitempty"`
}

// Locality says which endpoints a node sends an ingress port's connections to.
type Locality string

const (
	// AnyEndpoint is all of them. It is kept as "" in a record.
	AnyEndpoint Locality = ""
	// PreferLocal is those on the node itself while one of them serves, else all.
	PreferLocal Locality = "prefer_local"
	// LocalOnly is those on the node itself; without one connections are refused.
	LocalOnly Locality = "local_only"
)

// Key identifies the port in its cluster.
func (p *PublishedPort) Key() PortKey { return PortKey{p.Published, p.Protocol, p.VIP} }

// TargetFor is the port on which endpoint e answers what comes to p, of a range to its
// first port.
func (p *PublishedPort) TargetFor(e Endpoint) uint16 { return cmp.Or(e.Port, p.Target) }

// PutPort publishes or changes a port. A Published of 0 takes the next free
// port of the cluster's range for the protocol, as Swarm does; the chosen port
// is written to p. The error is an *Error that points at the attribute.
func (r *Record) PutPort(p *PublishedPort) error {
	if err := p.check(r, r.reservations()); err != nil {
		return err
	}
	if p.Published == 0 {
		if err := r.allocatePort(p); err != nil {
			return err
		}
	}
	if err := r.place(p); err != nil {
		return err
	}
	copied := *p
	if old := r.Ports[p.Key()]; old != nil && old.keepsAddresses() && p.ClientAddress != Preserve {
		copied.PreservedBefore = true
	}
	r.Ports[p.Key()] = &copied
	return nil
}

// RemovePort closes a port; removing one that is not open is no error.
func (r *Record) RemovePort(k PortKey) { delete(r.Ports, k) }

// check has the rules of a port beside the others of the record. A Published of 0 is no
// mistake here.
func (p *PublishedPort) check(r *Record, reserved *reservations) error {
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: PortRef(p.Key()), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case r.Services[p.Service] == nil:
		return fail("service_id", "The cluster %s has no service %q.", r.Cluster.Name, p.Service)
	case p.Target == 0:
		return fail("target_port", "%v.", Ports.Check("target_port", 0))
	case p.Protocol != TCP && p.Protocol != UDP:
		return fail("protocol", "The protocol must be tcp or udp, not %q.", p.Protocol)
	case p.Mode != Ingress && p.Mode != Host:
		return fail("mode", "The mode must be ingress or host, not %q.", p.Mode)
	case int(p.VIP) >= r.Cluster.vips():
		return fail("published_port", "The nodes' blocks have %d pairs of VIPs, not %d.", r.Cluster.vips(), int(p.VIP)+1)
	}
	if err := p.checkRange(r.Services[p.Service]); err != nil {
		return err
	}
	if err := p.checkBalance(); err != nil {
		return err
	}
	if err := p.checkSlots(r.Services[p.Service]); err != nil {
		return err
	}
	if p.keepsAddresses() {
		if err := r.Cluster.preservable(); err != nil {
			return fail("client_address", "%s.", capitalized(err))
		}
	}
	if why := reserved.whyAny(p); why != "" {
		return p.reserved(why)
	}
	return nil
}

func (p *PublishedPort) reserved(why string) error {
	return &Error{Object: PortRef(p.Key().Plain()), Attribute: "published_port", Detail: why}
}

// taken is the error of a port that another one has, all of it or at an address.
func (p *PublishedPort) taken(other *PublishedPort, at netip.Prefix) error {
	key := p.Key().Plain()
	if p.IsRange() || other.IsRange() {
		return &Error{Object: PortRef(key), Attribute: "published_port", Taken: PortRef(other.Key().Plain()), Detail: fmt.Sprintf(
			"Port %s overlaps port %s, which service %q publishes (target port %d). "+
				"A port belongs to one service of a cluster: choose other ports, or change or remove the other one first.", p.Name(), other.Name(), other.Service, other.Target)}
	}
	detail := fmt.Sprintf("Port %s is already published by service %q (target port %d). "+
		"A port belongs to one service of a cluster: choose another published_port, or remove the other one first.", key, other.Service, other.Target)
	if p.Listen != "" || other.Listen != "" {
		detail = fmt.Sprintf("Port %s is already published by service %q at %s (target port %d). "+
			"An address and port belong to one service of a cluster: give both listen_addresses that do not overlap, or choose another published_port.",
			key, other.Service, addressText(at), other.Target)
	}
	return &Error{Object: PortRef(key), Attribute: "published_port", Taken: PortRef(key), Detail: detail}
}

func addressText(p netip.Prefix) string { return strings.TrimSuffix(p.String(), "/32") }

// Reserved says why a port must not be published: it would cut off what the
// mesh itself needs on every node (moby#40065). "" means it may.
func (r *Record) Reserved(k PortKey) string { return r.reservations().why(k) }

// reservations is Reserved for many ports of the same record.
type reservations struct {
	cluster *Cluster
	own     []ownListener
	ssh     map[uint16]string // the first node by name that has the SSH port
}

func (r *Record) reservations() *reservations {
	all := &reservations{cluster: &r.Cluster, own: r.Cluster.ownListeners()}
	for name, n := range r.Nodes {
		if port := n.SSH.Port; port != 0 {
			if all.ssh == nil {
				all.ssh = map[uint16]string{}
			}
			if first, ok := all.ssh[port]; !ok || name < first {
				all.ssh[port] = name
			}
		}
	}
	return all
}

func (r *reservations) why(k PortKey) string {
	if k.Protocol == UDP && k.Port == r.cluster.VXLANPort {
		return fmt.Sprintf("Port %s carries the cluster's VXLAN overlay on every node: publishing it would cut the nodes off from each other. "+
			"Choose another published_port, or another vxlan_port for the cluster.", k)
	}
	if k.Protocol != TCP || k.Port == 0 {
		return ""
	}
	if k.Port == 22 {
		return "Port 22/tcp is where sshd answers: publishing it would cut off every SSH login to the nodes, Terraform's own included."
	}
	for _, own := range r.own {
		if own.port == k.Port {
			return fmt.Sprintf("Port %s is where the nodes' agents listen (%s of the cluster): published traffic and requests to that address would collide. "+
				"Choose another published_port, or another %s.", k, own.attribute, own.attribute)
		}
	}
	if name, ok := r.ssh[k.Port]; ok {
		return fmt.Sprintf("Port %s is the SSH port of node %s: publishing it would cut off every SSH login to it, Terraform's own included.", k, name)
	}
	return ""
}

func (r *Record) allocatePort(p *PublishedPort) error {
	rng, taken, ranges := r.Cluster.PublishedPortRange, r.reservations(), r.Ranges()
	inRange := func(k PortKey) bool {
		return slices.ContainsFunc(ranges, func(p *PublishedPort) bool { return p.Protocol == k.Protocol && p.Range().Has(k.Port) })
	}
	for port := int(rng.First); port <= int(rng.Last); port++ {
		k := PortKey{Port: uint16(port), Protocol: p.Protocol}
		if r.PortAt(k) == nil && taken.why(k) == "" && !inRange(k) {
			p.Published = k.Port
			return nil
		}
	}
	return &Error{
		Object: PortRef(p.Key()), Attribute: "published_port",
		Detail: fmt.Sprintf("Every %s port of the cluster's published_port_range %d–%d is taken. Name a published_port, or widen the range.",
			p.Protocol, rng.First, rng.Last),
	}
}
