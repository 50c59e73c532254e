package mesh

import "net/netip"

// ProbeRequest asks a node to try the overlay to the named nodes, to all others
// when there are none. The nodes that are to be told apart by direction are
// asked at the same time: each hears the others' packets while it sends.
type ProbeRequest struct {
	Peers []string `json:"peers,omitempty"`
}

// ProbeResponse is what the node found, by the other node's name.
type ProbeResponse struct {
	Peers map[string]PeerProbe `json:"peers"`
}

// PeerProbe is what one node saw of another. Sizes are of inner IPv4 packets,
// in bytes with their header; the largest one tried is the overlay's MTU.
type PeerProbe struct {
	// Answered is the largest packet to the peer's mesh address that came back;
	// 0 when none did.
	Answered int `json:"answered"`
	// Heard is the largest packet of the peer's own probe that arrived in the
	// mesh namespace; 0 when none did, or when the peer did not probe.
	Heard int `json:"heard"`
	// Wire lists the outer source addresses of the overlay packets that the
	// peer sent, as they came in on this host's links, before any firewall of it.
	Wire []netip.Addr `json:"wire,omitempty"`
	// Whole is the largest packet of the peer that would have come in one piece, where
	// an overlay packet of it came in several ones on this host's links; 0 when none
	// did. In pieces large packets pass, at a cost, and until a firewall drops pieces.
	Whole int `json:"whole,omitempty"`
	// Underlay says whether the peer's underlay address answers an ICMP echo, or
	// the peer answered over the overlay, which it carries.
	Underlay bool `json:"underlay"`
	// Error is why nothing could be sent, "" otherwise.
	Error string `json:"error,omitempty"`
}

// Counters is what IPVS on a node has counted since each object was made. The
// kernel brings traffic up to date every 2 s; active and inactive are live.
type Counters struct {
	Ports []PortCounters `json:"ports"`
}

// PortCounters counts one published port on one node.
type PortCounters struct {
	Port PortKey `json:"port"`
	Traffic
	Endpoints []EndpointCounters `json:"endpoints"`
}

// EndpointCounters counts one destination of a published port on one node.
type EndpointCounters struct {
	// Endpoint is its name in the service, "" when the record has none such.
	Endpoint string         `json:"endpoint"`
	Address  netip.AddrPort `json:"address"`
	Weight   int            `json:"weight"`
	// Health is what this node's checks say of it, "" where there are none;
	// Reason is why it fails. Draining says that it is on its way out.
	Health   Health `json:"health,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Draining bool   `json:"draining,omitempty"`
	// Active connections are established, inactive ones are opening or closing
	// (for udp: all); both are of this moment.
	Active   uint32 `json:"active"`
	Inactive uint32 `json:"inactive"`
	Traffic
}

// Traffic is a sum of what went through.
type Traffic struct {
	Connections uint64 `json:"connections"`
	PacketsIn   uint64 `json:"packets_in"`
	PacketsOut  uint64 `json:"packets_out"`
	BytesIn     uint64 `json:"bytes_in"`
	BytesOut    uint64 `json:"bytes_out"`
}
