package web

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// scrapeTimeout bounds reading the kernel's counters.
const scrapeTimeout = 20 * time.Second

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("routingmesh_"+name, help, labels, nil)
}

// traffic has the descriptions of a mesh.Traffic.
type traffic struct{ connections, inBytes, outBytes, inPackets, outPackets *prometheus.Desc }

func describeTraffic(of, to string, labels ...string) traffic {
	return traffic{
		connections: describe(of+"_connections_total", "Connections that came in on this node "+to+".", labels...),
		inBytes:     describe(of+"_in_bytes_total", "Bytes from clients "+to+".", labels...),
		outBytes:    describe(of+"_out_bytes_total", "Bytes to clients, of what came in on this node "+to+".", labels...),
		inPackets:   describe(of+"_in_packets_total", "Packets from clients "+to+".", labels...),
		outPackets:  describe(of+"_out_packets_total", "Packets to clients, of what came in on this node "+to+".", labels...),
	}
}

var (
	portLabels     = []string{"service", "port"}
	endpointLabels = []string{"service", "port", "endpoint", "address"}

	portTraffic     = describeTraffic("port", "for a published port", portLabels...)
	endpointTraffic = describeTraffic("endpoint", "for a published port and sent to an endpoint", endpointLabels...)

	activeConnections   = describe("endpoint_active_connections", "Established connections of an endpoint that came in on this node.", endpointLabels...)
	inactiveConnections = describe("endpoint_inactive_connections", "Connections that are opening or closing, for udp all, of an endpoint that came in on this node.", endpointLabels...)
	weight              = describe("endpoint_weight", "Weight of an endpoint in this node's IPVS; 0 gets no new connections.", endpointLabels...)
	drainingEndpoint    = describe("endpoint_draining", "Whether an endpoint is on its way out on this node (1) or not (0).", endpointLabels...)
	healthy             = describe("endpoint_healthy", "Whether an endpoint passes this node's checks (1) or fails them (0); none where it is not checked.", "service", "endpoint", "address")

	agentInfo         = describe("agent_info", "The agent's version, and which node of which cluster it is; 1.", "version", "cluster", "node")
	recordGeneration  = describe("record_generation", "Generation of the cluster's record that the agent keeps to.")
	appliedGeneration = describe("applied_generation", "Last generation of the record that the kernel had as a whole.")
	lastApplySeconds  = describe("last_apply_seconds", "How long the last commit took to reach the kernel.")
	lastApplyAt       = describe("last_apply_timestamp_seconds", "When the last commit reached the kernel.")
	problems          = describe("problems", "What the last look at the kernel found that is not as the record asks.")
	warnings          = describe("warnings", "What keeps traffic from flowing on this node and no apply can repair, by code: path, overlay, firewall, host, containers, names.", "code")
	repairs           = describe("repairs_total", "Objects that the agent has repaired because something else had broken them, since it was installed.")
	nameQueries       = describe("name_queries_total", "Queries for names by members of networks on this node, by outcome: answered, no_data, nxdomain, not_yet, refused, malformed, forwarded; of those forwarded also failed, overload.", "outcome")
)

// collector asks for the numbers whenever it is asked.
type collector struct{ *Front }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, t := range []traffic{portTraffic, endpointTraffic} {
		for _, d := range []*prometheus.Desc{t.connections, t.inBytes, t.outBytes, t.inPackets, t.outPackets} {
			ch <- d
		}
	}
	for _, d := range []*prometheus.Desc{
		activeConnections, inactiveConnections, weight, drainingEndpoint, healthy,
		agentInfo, recordGeneration, appliedGeneration, lastApplySeconds, lastApplyAt, problems, warnings, repairs, nameQueries,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := sink{ch}
	at := c.place.Load()
	c.agent(s, at)
	if at.self() == nil {
		return
	}
	for check, r := range c.options.Health.Results() {
		s.gauge(healthy, number(!r.Failing), check.Service, r.Endpoint, check.Addr.String())
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	counters, err := c.options.Counters(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(portTraffic.connections, err)
		return
	}
	ports(s, at.rec, counters.Ports)
}

func (c *collector) agent(s sink, at *place) {
	cluster := ""
	if at.rec != nil {
		cluster = at.rec.Cluster.Name
	}
	stats := c.options.State.Stats()
	s.gauge(agentInfo, 1, c.options.Version, cluster, at.node)
	s.gauge(recordGeneration, float64(stats.Generation))
	s.gauge(appliedGeneration, float64(stats.Applied))
	s.gauge(problems, float64(stats.Problems))
	for code, n := range warned(c.options.Warnings()) {
		s.gauge(warnings, float64(n), string(code))
	}
	s.counter(repairs, stats.Repairs)
	if c.options.Queries != nil {
		for outcome, n := range c.options.Queries() {
			s.counter(nameQueries, n, outcome)
		}
	}
	if !stats.LastApplyAt.IsZero() {
		s.gauge(lastApplySeconds, stats.LastApply.Seconds())
		s.gauge(lastApplyAt, float64(stats.LastApplyAt.UnixMilli())/1000)
	}
}

// ports tells of what the record publishes. While a port changes its mode there may
// be two of it: the first is told.
func ports(s sink, rec *mesh.Record, all []mesh.PortCounters) {
	seen := map[mesh.PortKey]bool{}
	for _, p := range all {
		port := rec.Ports[p.Port]
		if port == nil || seen[p.Port] {
			continue
		}
		seen[p.Port] = true
		s.traffic(portTraffic, p.Traffic, port.Service, p.Port.String())
		for _, e := range p.Endpoints {
			s.endpoint(e, port.Service, p.Port.String(), e.Endpoint, e.Address.String())
		}
	}
}

// sink takes metrics.
type sink struct{ ch chan<- prometheus.Metric }

func (s sink) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s sink) counter(d *prometheus.Desc, value uint64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func (s sink) traffic(d traffic, t mesh.Traffic, labels ...string) {
	s.counter(d.connections, t.Connections, labels...)
	s.counter(d.inBytes, t.BytesIn, labels...)
	s.counter(d.outBytes, t.BytesOut, labels...)
	s.counter(d.inPackets, t.PacketsIn, labels...)
	s.counter(d.outPackets, t.PacketsOut, labels...)
}

func (s sink) endpoint(e mesh.EndpointCounters, labels ...string) {
	s.traffic(endpointTraffic, e.Traffic, labels...)
	s.gauge(activeConnections, float64(e.Active), labels...)
	s.gauge(inactiveConnections, float64(e.Inactive), labels...)
	s.gauge(weight, float64(e.Weight), labels...)
	s.gauge(drainingEndpoint, number(e.Draining), labels...)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
