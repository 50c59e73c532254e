package mesh

import "net/netip"

// Health is what a node's checks of an endpoint have come to.
type Health string

const (
	// Healthy: the last Rise checks passed, or none has been made yet.
	Healthy Health = "healthy"
	// Unhealthy: the last Fall checks failed. It gets no connection.
	Unhealthy Health = "unhealthy"
	// UnhealthyKept: it is unhealthy like all others of its port, and gets
	// connections all the same rather than nobody.
	UnhealthyKept Health = "unhealthy_kept"
)

// EndpointHealth is an endpoint that fails the checks of one node.
type EndpointHealth struct {
	Service  string `json:"service"`
	Endpoint string `json:"endpoint"`
	// Address is what was checked.
	Address netip.AddrPort `json:"address"`
	// Health is Unhealthy or UnhealthyKept.
	Health Health `json:"health"`
	// Reason is a short text that stays the same while the reason does:
	// "connection refused", "no answer within 2s", "status 500, not 200-399".
	Reason string `json:"reason"`
}

// Drains is what a node is still sending to endpoints that are on their way out.
type Drains struct {
	Drains []Drain `json:"drains"`
	// Entering is how many connections are established through this node as the
	// entry, whatever their endpoint: what would break if it left now.
	Entering int `json:"entering"`
}

// Drain is one destination of one published port, or of a service's VIP, on its way out: an
// endpoint that was removed or whose node drains. It gets no new connection.
type Drain struct {
	// Port is the published port, or with VIP a port of the service's VIP, zero for every port.
	Port     PortKey `json:"port,omitzero"`
	VIP      bool    `json:"vip,omitempty"`
	Service  string  `json:"service"`
	Endpoint string  `json:"endpoint"`
	// Node is the endpoint's.
	Node    string         `json:"node"`
	Address netip.AddrPort `json:"address"`
	// Active connections are established, Inactive ones are opening or closing.
	Active   uint32 `json:"active"`
	Inactive uint32 `json:"inactive"`
	// RemainingMillis is until it is removed with what connections it still has.
	RemainingMillis int64 `json:"remaining_millis"`
}
