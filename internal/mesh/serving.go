package mesh

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTCPIdle is longer than Linux's tcp_keepalive_time of two hours, and
	// than RFC 5382's REQ-5 (2 h 4 min): who keeps a connection alive, keeps it.
	DefaultTCPIdle = 2*time.Hour + 10*time.Minute
	// DefaultUDPIdle is IPVS's own, and RFC 4787's REQ-5.
	DefaultUDPIdle = 5 * time.Minute
	maxIdle        = 31 * 24 * time.Hour
)

// TCPIdle is for how long a tcp connection without a packet is kept.
func (c *Cluster) TCPIdle() time.Duration { return idle(c.TCPIdleSeconds, DefaultTCPIdle) }

// UDPIdle is for how long a udp client without a packet keeps its endpoint.
func (c *Cluster) UDPIdle() time.Duration { return idle(c.UDPIdleSeconds, DefaultUDPIdle) }

func idle(seconds int, standard time.Duration) time.Duration {
	if seconds == 0 {
		return standard
	}
	return time.Duration(seconds) * time.Second
}

// canonical leaves out what is the default, so that equal settings have equal
// records.
func (c Cluster) canonical() Cluster {
	if c.TCPIdle() == DefaultTCPIdle {
		c.TCPIdleSeconds = 0
	}
	if c.UDPIdle() == DefaultUDPIdle {
		c.UDPIdleSeconds = 0
	}
	if c.MarkBit == DefaultMarkBit {
		c.MarkBit = 0
	}
	return c
}

// checkServing checks the settings of this file.
func (c *Cluster) checkServing() error {
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: ClusterRef, Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	if s := int64(c.TCPIdleSeconds); s != 0 && !IdleSeconds.Has(s) {
		return fail("tcp_idle_timeout", "The idle timeout must be 1s–744h, not %s.", lasting(s, time.Second))
	}
	if s := int64(c.UDPIdleSeconds); s != 0 && !IdleSeconds.Has(s) {
		return fail("udp_idle_timeout", "The idle timeout must be 1s–744h, not %s.", lasting(s, time.Second))
	}
	var first uint16
	for _, own := range c.ownListeners() {
		switch {
		case own.err != nil:
			return fail(own.attribute, "%v.", own.err)
		case own.port == 22:
			return fail(own.attribute, "Port 22 is where sshd answers.")
		case own.port == first:
			return fail(own.attribute, "health_address and metrics_address must have different ports, both have %d.", first)
		}
		first = own.port
	}
	return nil
}

// checkListeners refuses an address of the agents' own that others have.
func (r *Record) checkListeners(c *Cluster) error {
	for _, own := range c.ownListeners() {
		if p := r.PortOver(PortKey{Port: own.port, Protocol: TCP}); p != nil {
			return &Error{Object: ClusterRef, Attribute: own.attribute, Detail: fmt.Sprintf(
				"Port %s is published by service %q: the agents cannot listen on it too. Choose another %s, or remove the published port first.",
				p.Name(), p.Service, own.attribute)}
		}
		for _, name := range r.NodeNames() {
			if r.Nodes[name].SSH.Port == own.port {
				return &Error{Object: ClusterRef, Attribute: own.attribute, Detail: fmt.Sprintf(
					"Port %d is the SSH port of node %s: its agent cannot listen on it too. Choose another %s.", own.port, name, own.attribute)}
			}
		}
	}
	return nil
}

// ownListener is an address on which every agent listens.
type ownListener struct {
	attribute string
	port      uint16
	err       error
}

func (c *Cluster) ownListeners() []ownListener {
	var all []ownListener
	for _, l := range []struct{ attribute, address string }{{"health_address", c.HealthAddress}, {"metrics_address", c.MetricsAddress}} {
		if l.address != "" {
			address, err := ListenAddress(l.address, netip.Addr{})
			all = append(all, ownListener{l.attribute, address.Port(), err})
		}
	}
	return all
}

// ListenAddress reads ":10256", which is that port of the node's underlay
// address, or "ADDRESS:PORT" with an IPv4 address, as in "0.0.0.0:10256" for all
// and "127.0.0.1:10256".
func ListenAddress(s string, underlay netip.Addr) (netip.AddrPort, error) {
	host, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, fmt.Errorf("%q is no address to listen on: want :PORT for the node's own address, or ADDRESS:PORT, as in 0.0.0.0:10256", s)
	}
	address := underlay
	if host != "" {
		address, err = netip.ParseAddr(host)
		if err != nil || !address.Is4() || address.IsMulticast() {
			return netip.AddrPort{}, fmt.Errorf("%q is no address to listen on: the part before the port must be an IPv4 address or nothing", s)
		}
	}
	return netip.AddrPortFrom(address, uint16(n)), nil
}
