package mesh

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// RecordFormat is the version of the record's JSON layout. An agent refuses a
// record of a format it does not know rather than guess at its meaning.
const RecordFormat = 1

// Record is the whole desired state of a cluster: one versioned document, the
// same on every node. It is changed only by its methods (PutNode, PutPort, …),
// which keep it valid, and sent to the nodes by a commit.
type Record struct {
	Format int `json:"format"`
	// UID is random and made once with the cluster, so that a cluster destroyed
	// and made again under the same name is not taken for the old one.
	UID string `json:"uid"`
	// Generation is the record's version, which every commit raises, usually by one;
	// the first commit is 1.
	Generation uint64 `json:"generation"`
	// Parent is the Hash of the record that this one was made of, "" for the first.
	// Two records of one generation with different hashes are a fork.
	Parent   string              `json:"parent"`
	Cluster  Cluster             `json:"cluster"`
	Nodes    map[string]*Node    `json:"nodes"`
	Services map[string]*Service `json:"services"`
	// Ports is keyed by PortKey's text, "8080/tcp": a published port is unique
	// in its cluster per protocol.
	Ports map[PortKey]*PublishedPort `json:"ports"`
	// Networks are keyed by name, nil in a cluster without any.
	Networks map[string]*Network `json:"networks,omitempty"`
	// Addressing is what networks and their members were given, nil in a cluster without any.
	Addressing *NetworkAddressing `json:"addressing,omitempty"`
	// NextBlock is where the search for a free overlay block starts, so that
	// the block of a node that left is the last to be used again (a neighbour
	// or conntrack entry may remember it: moby#52661).
	NextBlock int `json:"next_block"`
	// Voters decide what the record is, nil in one of a version that knew none.
	Voters *Voters `json:"voters,omitempty"`
}

// Cluster holds the settings that all nodes share.
type Cluster struct {
	Name string `json:"name"`
	// AddressPool is the overlay's IPv4 prefix; every node gets one block of it.
	AddressPool netip.Prefix `json:"address_pool"`
	// NodePrefixLength is the length of a node's block, longer than the pool's,
	// at most 29.
	NodePrefixLength int `json:"node_prefix_length"`
	// VXLANPort is the UDP port of the overlay, 1–65535.
	VXLANPort uint16 `json:"vxlan_port"`
	// VNI is the VXLAN network identifier, 1–16777215.
	VNI uint32 `json:"vni"`
	// MTU is the overlay's MTU in bytes as the user set it; 0 means computed
	// from the nodes (see Record.MTU).
	MTU int `json:"mtu,omitempty"`
	// PublishedPortRange is where ports are taken from that name none.
	PublishedPortRange PortRange `json:"published_port_range"`
	// Repair is RepairReport, or "" for automatic (left out, so that records from
	// before there was a choice keep their hash).
	Repair RepairMode `json:"repair,omitempty"`
	// Firewall is FirewallReport, or "" for manage (left out, as with Repair).
	Firewall FirewallMode `json:"firewall,omitempty"`
	// TCPIdleSeconds and UDPIdleSeconds are for how long a connection without a
	// packet is kept; 0 is the default (see TCPIdle, UDPIdle).
	TCPIdleSeconds int `json:"tcp_idle_seconds,omitempty"`
	UDPIdleSeconds int `json:"udp_idle_seconds,omitempty"`
	// HealthAddress and MetricsAddress are where every agent answers GET /healthz
	// and GET /metrics over the network (see ListenAddress); "" is nowhere.
	HealthAddress  string `json:"health_address,omitempty"`
	MetricsAddress string `json:"metrics_address,omitempty"`
	// MarkBit is the bit of packets' and connections' marks that the nodes use, 1–31; 0 is
	// the default (see Mark).
	MarkBit int `json:"mark_bit,omitempty"`
	// HostDNS is HostDNSOff, or "" for hosts (left out, as with Repair).
	HostDNS HostDNSMode `json:"host_dns,omitempty"`
}

// RepairMode says what an agent does about what something else has broken.
type RepairMode string

const (
	// RepairAutomatic repairs it at once. It is kept as "" in a record.
	RepairAutomatic RepairMode = ""
	// RepairReport only reports it: a change of the cluster or a terraform apply
	// of the drift repairs it.
	RepairReport RepairMode = "report"
)

// FirewallMode says what an agent does about a firewall of the host's that has an
// interface to be told what to let through (firewalld).
type FirewallMode string

const (
	// FirewallManage tells it at run time what the mesh needs. It is kept as "" in a
	// record.
	FirewallManage FirewallMode = ""
	// FirewallReport changes nothing, and warns of what is missing.
	FirewallReport FirewallMode = "report"
)

// HostDNSMode says how the processes of hosts that are members of networks find names.
type HostDNSMode string

const (
	// HostDNSHosts has the agent keep the names of VIPs in a block of /etc/hosts. It is kept
	// as "" in a record.
	HostDNSHosts HostDNSMode = ""
	// HostDNSOff leaves /etc/hosts as it is.
	HostDNSOff HostDNSMode = "off"
)

// PortRange is an inclusive range of ports.
type PortRange struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// Node is a Linux host in the cluster.
type Node struct {
	Name string `json:"name"`
	// Address is the node's underlay address and its VXLAN source.
	Address netip.Addr        `json:"address"`
	SSH     SSH               `json:"ssh"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Availability is AvailabilityDrain, or "" for active.
	Availability Availability `json:"availability,omitempty"`
	// Block is the node's share of the address pool, allocated at the join.
	Block netip.Prefix `json:"block"`
	// UnderlayMTU is the MTU in bytes of the link that carries Address, as the
	// node's agent saw it at the join.
	UnderlayMTU int `json:"underlay_mtu"`
	// NextSlot is where the search for a free slot starts, as NextBlock is for blocks.
	NextSlot int `json:"next_slot,omitempty"`
}

// Availability says whether a node serves, in Swarm's words.
type Availability string

const (
	// AvailabilityActive is the usual one. It is kept as "" in a record.
	AvailabilityActive Availability = ""
	// AvailabilityDrain sends no new connection to the node's endpoints, ends the
	// old ones within their service's DrainSeconds, and answers 503 on its health
	// address. As an entry the node goes on for who still comes.
	AvailabilityDrain Availability = "drain"
)

// SSH says how to reach a node where that differs from the provider's ssh
// block. It holds no secret: it is part of the record.
type SSH struct {
	Host        string `json:"host,omitempty"`
	Port        uint16 `json:"port,omitempty"`
	User        string `json:"user,omitempty"`
	BastionHost string `json:"bastion_host,omitempty"`
	BastionPort uint16 `json:"bastion_port,omitempty"`
	BastionUser string `json:"bastion_user,omitempty"`
	// HostKey is the public key the server must show, in authorized_keys form
	// ("ssh-ed25519 AAAA…"), as configured or as pinned at the first connect.
	HostKey string `json:"host_key,omitempty"`
}

// Service is a name for a set of endpoints that answer the same thing.
type Service struct {
	Name string `json:"name"`
	// Endpoints is keyed by the name the user gave each.
	Endpoints map[string]Endpoint `json:"endpoints"`
	// Scheduler is IPVS's name of how connections are spread; "" is rr.
	Scheduler string `json:"scheduler,omitempty"`
	// Affinity keeps a client at its endpoint, nil does not.
	Affinity *Affinity `json:"affinity,omitempty"`
	// HealthCheck is made of every endpoint by every node, nil is none.
	HealthCheck *HealthCheck `json:"health_check,omitempty"`
	// DrainSeconds is how long the connections of an endpoint that is taken out
	// may last, 0–86400; 0 ends them at once.
	DrainSeconds int `json:"drain_seconds,omitempty"`
	// Networks are those that the service is in, by name.
	Networks map[string]Membership `json:"networks,omitempty"`
	// EndpointMode says what the service's name leads to in its networks.
	EndpointMode EndpointMode `json:"endpoint_mode,omitempty"`
	// VIPPorts are the ports of its VIP, and the endpoints' ports that they lead to. Without
	// any the VIP leads to every port.
	VIPPorts map[PortKey]uint16 `json:"vip_ports,omitempty"`
	// VIP is the address that the service's name leads to, which PutService finds.
	VIP netip.Addr `json:"vip,omitzero"`
}

// Endpoint is what answers on a node: a process that listens there, or containers.
type Endpoint struct {
	Node string `json:"node"`
	// Port overrides the published port's target port; 0 means it does not.
	Port uint16 `json:"port,omitempty"`
	// Weight is its share of the connections beside the others', 0–65535; nil is
	// 1. With 0 it gets no new ones, and keeps those that it has. Each slot has it.
	Weight *int `json:"weight,omitempty"`
	// Container says which containers answer; nil is a process of the host.
	Container *Container `json:"container,omitempty"`
	// Slots are the places of the containers in the node's block (Node.SlotAddress), 0 for one
	// that PutService is to find.
	Slots []uint16 `json:"slots,omitempty"`
}

// NewRecord returns the record of a cluster without nodes, at generation 0:
// the commit that sends it makes it 1.
func NewRecord(uid string, c Cluster) (*Record, error) {
	if err := checkUID(uid); err != nil {
		return nil, err
	}
	r := &Record{
		Format: RecordFormat, UID: uid,
		Nodes: map[string]*Node{}, Services: map[string]*Service{}, Ports: map[PortKey]*PublishedPort{},
	}
	if err := r.PutCluster(c); err != nil {
		return nil, err
	}
	return r, nil
}

// ParseRecord reads a record as JSON and checks it as Validate does. A field that it
// does not know is an error: what it asks for would be dropped in silence. A record that
// is one and cannot be read is a *NewerError.
func ParseRecord(data []byte) (*Record, error) {
	var r Record
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&r)
	if err != nil {
		err = fmt.Errorf("the record is not valid JSON: %w", err)
	} else if err = r.Validate(); err == nil {
		return &r, nil
	}
	var known struct {
		Format     int    `json:"format"`
		UID        string `json:"uid"`
		Generation uint64 `json:"generation"`
	}
	if json.Unmarshal(data, &known) == nil && known.Format > 0 && known.UID != "" && known.Generation > 0 {
		return nil, &NewerError{known.Generation, err}
	}
	return nil, err
}

// NewerError is a record that is whole and asks for something that this program does not
// know: it was made by a newer version.
type NewerError struct {
	Generation uint64
	Err        error
}

func (e *NewerError) Error() string { return e.Err.Error() }
func (e *NewerError) Unwrap() error { return e.Err }

// Hash identifies the record's content: hex SHA-256 of its canonical JSON
// (map keys sorted, as encoding/json writes them).
func (r *Record) Hash() string { return r.Encode().Hash }

// Encoded is a record with its canonical JSON and its Hash. To write the JSON is
// most of what a small change of a large record costs: it is done once.
type Encoded struct {
	Record *Record
	JSON   []byte
	Hash   string
	Origin *Origin // nil for a record that was not made by Apply
}

// Encode writes the record as canonical JSON.
func (r *Record) Encode() Encoded {
	data, err := json.Marshal(r)
	if err != nil { // only possible for values the type cannot hold
		panic("mesh: a record that cannot be written as JSON: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return Encoded{Record: r, JSON: data, Hash: hex.EncodeToString(sum[:])}
}

// Next returns a deep copy of r as the next generation, ready to be changed.
func (r *Record) Next() *Record { return r.Successor(r.Hash()).Clone() }

// Successor is Next for who knows r's Hash and changes the record by its methods
// only: it shares r's objects, which those replace and never change.
func (r *Record) Successor(hash string) *Record {
	n := *r
	n.Nodes, n.Services, n.Ports, n.Networks = maps.Clone(r.Nodes), maps.Clone(r.Services), maps.Clone(r.Ports), maps.Clone(r.Networks)
	n.Generation++
	n.Parent = ""
	if r.Generation > 0 {
		n.Parent = hash
	}
	return &n
}

// Clone returns a deep copy.
func (r *Record) Clone() *Record {
	c := *r
	c.Nodes = make(map[string]*Node, len(r.Nodes))
	for k, v := range r.Nodes {
		n := *v
		n.Labels = maps.Clone(v.Labels)
		c.Nodes[k] = &n
	}
	c.Services = make(map[string]*Service, len(r.Services))
	for k, v := range r.Services {
		c.Services[k] = v.clone()
	}
	c.Ports = make(map[PortKey]*PublishedPort, len(r.Ports))
	for k, v := range r.Ports {
		p := *v
		c.Ports[k] = &p
	}
	c.Networks = maps.Clone(r.Networks)
	for k, v := range c.Networks {
		n := *v
		n.Hosts = slices.Clone(v.Hosts)
		c.Networks[k] = &n
	}
	return &c
}

// NodeNames returns the names of the nodes, sorted.
func (r *Record) NodeNames() []string { return slices.Sorted(maps.Keys(r.Nodes)) }

// ServicePorts returns the ports that the service publishes, sorted by key.
func (r *Record) ServicePorts(service string) []*PublishedPort {
	var ports []*PublishedPort
	for _, p := range r.Ports {
		if p.Service == service {
			ports = append(ports, p)
		}
	}
	slices.SortFunc(ports, func(a, b *PublishedPort) int { return a.Key().Compare(b.Key()) })
	return ports
}
