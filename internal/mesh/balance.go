package mesh

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Schedulers are those of IPVS that a service may have: round robin, least
// connections, source and Maglev hashing, shortest expected delay, never queue
// (ipvsadm(8)); w… heed the endpoints' weights, as sh, mh, sed and nq do.
func Schedulers() []string { return []string{"rr", "wrr", "lc", "wlc", "sh", "mh", "sed", "nq"} }

const (
	// DefaultScheduler is Swarm's.
	DefaultScheduler = "rr"
	DefaultWeight    = 1
	// MaxWeight is what moby/ipvs reads back; the kernel has 32 bits.
	MaxWeight = 65535
	// DefaultDrain is kubernetes' terminationGracePeriodSeconds.
	DefaultDrain = 30 * time.Second
	maxDrain     = 24 * time.Hour
	// DefaultAffinityPrefixLength keeps each client address by itself.
	DefaultAffinityPrefixLength = 32
	// maxAffinity is 31 days, IPVS's own limit of a timeout in seconds
	// (IP_VS_…_TIMEOUT: INT_MAX/HZ) is higher.
	maxAffinity = 31 * 24 * time.Hour
)

// Affinity keeps a client at the endpoint that it had, on each node by itself
// (IPVS persistence).
type Affinity struct {
	// TimeoutSeconds is for how long after its last connection has ended, 1–2678400.
	TimeoutSeconds int `json:"timeout_seconds"`
	// PrefixLength is how much of its address makes a client, 1–32; 32 is all of it.
	PrefixLength int `json:"prefix_length"`
}

// SchedulerName is the scheduler of the service, its default filled in.
func (s *Service) SchedulerName() string {
	if s.Scheduler == "" {
		return DefaultScheduler
	}
	return s.Scheduler
}

// Hashes says that the scheduler picks an endpoint by the client's address, the
// same on every node.
func (s *Service) Hashes() bool { return s.Scheduler == "sh" || s.Scheduler == "mh" }

// Drain is how long connections of an endpoint that is taken out may last.
func (s *Service) Drain() time.Duration { return time.Duration(s.DrainSeconds) * time.Second }

// Share is the endpoint's weight, its default filled in.
func (e Endpoint) Share() int {
	if e.Weight == nil {
		return DefaultWeight
	}
	return *e.Weight
}

func (a Availability) known() bool { return a == AvailabilityActive || a == AvailabilityDrain }

// Serving says whether the node's endpoints get new connections.
func (n *Node) Serving() bool { return n.Availability != AvailabilityDrain }

// checkBalance checks what is not about other objects.
func (s *Service) checkBalance() error {
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: ServiceRef(s.Name), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	if !slices.Contains(Schedulers(), s.SchedulerName()) {
		return fail("scheduler", "The scheduler must be one of %s, not %q.", strings.Join(Schedulers(), ", "), s.Scheduler)
	}
	for key, e := range s.Endpoints {
		if weight := int64(e.Share()); !Weights.Has(weight) {
			return fail("endpoints", "%v.", Weights.Check(fmt.Sprintf("endpoints[%q].weight", key), weight))
		}
	}
	if !DrainSeconds.Has(int64(s.DrainSeconds)) {
		return fail("drain_timeout", "The drain timeout must be 0s–24h, not %s.", lasting(int64(s.DrainSeconds), time.Second))
	}
	if a := s.Affinity; a != nil {
		if !AffinitySeconds.Has(int64(a.TimeoutSeconds)) {
			return fail("session_affinity", "The timeout of session_affinity must be 1s–744h, not %d s.", a.TimeoutSeconds)
		}
		if err := AffinityPrefixLengths.Check("session_affinity.netmask", int64(a.PrefixLength)); err != nil {
			return fail("session_affinity", "%v.", err)
		}
	}
	if s.HealthCheck != nil {
		if err := s.HealthCheck.checkCounts(); err != nil {
			return fail("health_check", "%v.", err)
		}
		if attr, detail := s.HealthCheck.check(); detail != "" {
			return fail("health_check", "health_check.%s: %s", attr, detail)
		}
	}
	return nil
}

func (p *PublishedPort) checkBalance() error {
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: PortRef(p.Key()), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case p.Locality != AnyEndpoint && p.Locality != PreferLocal && p.Locality != LocalOnly:
		return fail("locality", "The locality must be any, prefer_local or local_only, not %q.", string(p.Locality))
	case p.Locality != AnyEndpoint && p.Mode == Host:
		return fail("locality", "In host mode every node sends to its own endpoints anyway: leave locality out, or use mode = \"ingress\".")
	case p.OnePacket && p.Protocol != UDP:
		return fail("one_packet", "one_packet is for udp: the packets of a tcp connection must all go to one endpoint.")
	}
	switch {
	case p.ClientAddress != EntryNode && p.ClientAddress != Preserve:
		return fail("client_address", "client_address must be entry_node or preserve, not %q.", string(p.ClientAddress))
	case p.ClientAddress == Preserve && p.PreservedBefore:
		return fail("client_address", "The client's address is preserved: it cannot be so from before as well.")
	}
	if err := p.checkPreserve(); err != nil {
		return err
	}
	if err := p.AllowedCIDRs.check(); err != nil {
		return fail("allowed_cidrs", "%v.", err)
	}
	if err := p.Nodes.check(); err != nil {
		return fail("nodes", "%v.", err)
	}
	if err := p.Listen.check(); err != nil {
		return fail("listen_addresses", "%v.", err)
	}
	if err := p.Listen.checkListen(); err != nil {
		return fail("listen_addresses", "%v.", err)
	}
	return nil
}
