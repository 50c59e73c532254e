package mesh

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// The agent's API: HTTP/1.1 with JSON bodies over its unix socket, which
// `routingmesh-agent dial-stdio` joins to an SSH channel. A commit is two
// steps, so that a refusal by any node comes before any node has changed:
//
//	GET  /v1/status?known=HASH  Status
//	POST /v1/prepare            PrepareRequest → PrepareResponse, or 409 Refusal
//	POST /v1/commit             CommitRequest  → CommitResponse, or 409 Refusal
//	POST /v1/abort              AbortRequest   → 204
//
// Beside commits:
//
//	POST /v1/repair             RepairRequest  → RepairResponse
//	POST /v1/probe              ProbeRequest   → ProbeResponse
//	GET  /v1/counters           Counters
//	GET  /v1/drains             Drains
//	GET  /metrics               Prometheus's text format
//
// Any other failure is a 4xx or 5xx with a Refusal body of code "error".
const (
	PathStatus   = "/v1/status"
	PathPrepare  = "/v1/prepare"
	PathCommit   = "/v1/commit"
	PathAbort    = "/v1/abort"
	PathRepair   = "/v1/repair"
	PathProbe    = "/v1/probe"
	PathCounters = "/v1/counters"
	PathDrains   = "/v1/drains"
	PathSlots    = "/v1/slots"
	PathMetrics  = "/metrics"
)

// APIVersion is raised when an older client or agent would misread the API.
const APIVersion = 1

// LeaseTTL is how long a prepared commit keeps other writers out when its
// writer has died.
const LeaseTTL = 60 * time.Second

// Status is what a node says of itself.
type Status struct {
	API     int       `json:"api"`
	Version string    `json:"version"`
	Host    HostFacts `json:"host"`
	// BinarySHA256 is the hex digest of the agent's own executable.
	BinarySHA256 string `json:"binary_sha256"`
	// Instance is random and made by the agent at each start: two answers with the
	// same one come from one host, however it was reached. Host keys, names and
	// addresses do not say that, for clones share them.
	Instance string `json:"instance,omitempty"`
	// Node is the name under which this host is in the record, "" when it only
	// keeps the record (a host of the provider block that is no node).
	Node string `json:"node"`
	// Generation and Hash are those of the record on disk; 0 and "" when none.
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
	// Record is left out when the caller's known= is its hash.
	Record *Record `json:"record,omitempty"`
	// Promised is the highest generation for which the agent has granted a lease to a
	// voter's writer. It does not grant one for the same or an older one to another.
	Promised uint64 `json:"promised,omitempty"`
	// AppliedGeneration is the last one whose apply reached the kernel whole.
	AppliedGeneration uint64 `json:"applied_generation"`
	// Problems is what the kernel does not have as the record asks, empty when
	// in sync. Sorted, so that two reads of an unchanged node are equal.
	Problems []Problem `json:"problems"`
	// Unhealthy lists the endpoints that fail this node's checks, sorted. It is no
	// problem: the node does with them what the record says.
	Unhealthy []EndpointHealth `json:"unhealthy,omitempty"`
	// Warnings is what keeps traffic from flowing although the kernel is as the
	// record asks, or may come to: what the agent's own tests of the path have found,
	// and what of the host stands in the way. Sorted. No apply can repair it, so it is
	// never drift: a plan says it and plans no update for it.
	Warnings []Warning `json:"warnings,omitempty"`
	// Overlay is what the node sees of the others that it does not reach over the
	// overlay, or not with large packets; nil when it reaches all. OverlayWarnings puts
	// those of all nodes into sentences.
	Overlay map[string]PeerProbe `json:"overlay,omitempty"`
	// SelfTest says what the agent's own tests cover; nil on a host that is no node.
	SelfTest *SelfTest `json:"self_test,omitempty"`
	// Repairs is how many objects the agent has repaired by itself since it was
	// installed: what something else had removed or changed.
	Repairs uint64 `json:"repairs"`
}

// HostFacts describes the host, whether or not it is a node.
type HostFacts struct {
	Hostname      string      `json:"hostname"`
	KernelRelease string      `json:"kernel_release"`
	Arch          string      `json:"arch"`
	Interfaces    []Interface `json:"interfaces"`
}

// Interface is a network link of the host with its IPv4 addresses. Its MTU is that
// of what carries their packets: of lo and dummies, the default route's.
type Interface struct {
	Name      string         `json:"name"`
	MTU       int            `json:"mtu"`
	Addresses []netip.Prefix `json:"addresses"`
}

// LinkOf returns the interface that carries addr.
func (h *HostFacts) LinkOf(addr netip.Addr) (Interface, bool) {
	for _, i := range h.Interfaces {
		for _, a := range i.Addresses {
			if a.Addr() == addr {
				return i, true
			}
		}
	}
	return Interface{}, false
}

// Warning is one thing that keeps traffic from flowing and that is not for the
// mesh to repair.
type Warning struct {
	// Code is the warning's identity beside Object, whatever its words.
	Code WarningCode `json:"code"`
	// Object is the part of the record it concerns.
	Object Ref `json:"object"`
	// Text is one or a few sentences: what, where, why, and what to do. It is made
	// of names and values that stay as they are while the cause does: no times, no
	// counters. The node is added by whoever shows it.
	Text string `json:"text"`
	// AllTraffic says that it concerns all traffic through this node, so that a load
	// balancer in front should turn away from it (/healthz is 503).
	AllTraffic bool `json:"all_traffic,omitempty"`
}

// WarningCode names a kind of Warning.
type WarningCode string

const (
	// WarnPath: the self-test's packet does not come back the way that a client's goes.
	WarnPath WarningCode = "path"
	// WarnOverlay: another node is not reached over the overlay, or does not reach this one.
	WarnOverlay WarningCode = "overlay"
	// WarnFirewall: a rule of the host that is not ours drops, or would drop, the mesh's packets.
	WarnFirewall WarningCode = "firewall"
	// WarnHost: a setting or route of the host that is not ours leads the mesh's packets astray.
	WarnHost WarningCode = "host"
	// WarnContainers: an endpoint that is a container has none.
	WarnContainers WarningCode = "containers"
	// WarnNames: the members of networks do not find names, the cluster's or others.
	WarnNames WarningCode = "names"
)

// SortWarnings puts warnings into the order of Status.Warnings.
func SortWarnings(all []Warning) {
	slices.SortFunc(all, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), a.Object.Compare(b.Object), cmp.Compare(a.Text, b.Text))
	})
}

// PrepareRequest asks a node to check the next record and to keep other
// writers out until the commit, the abort or LeaseTTL.
type PrepareRequest struct {
	// Holder identifies the writer, random per process.
	Holder string `json:"holder"`
	// Node is the name this host has in the record; "" leaves it as it is.
	Node string `json:"node"`
	// Vote asks for the lease of a voter: the agent promises the generation, on disk.
	Vote bool `json:"vote,omitempty"`
	// Replaces is the Hash of the record that the writer has seen on the node, "" for
	// none. A node that has another one, and not the next record's parent, refuses.
	Replaces string `json:"replaces,omitempty"`
	// Record is the whole next record. Its Generation must be higher than the node's,
	// unless the node's is further ahead than MaxGenerationJump.
	Record *Record `json:"record,omitempty"`
	// Change stands for the record on a node that has its Base. Any other node
	// answers Stale, and is sent the whole record.
	Change *Change `json:"change,omitempty"`
}

// PrepareResponse lists what speaks against the record on this node. The
// lease is held even if there are problems: the writer commits a smaller
// change or aborts.
type PrepareResponse struct {
	Problems []Problem `json:"problems"`
}

// CommitRequest makes the prepared record the node's own and applies it.
type CommitRequest struct {
	Holder     string `json:"holder"`
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
}

// CommitResponse lists what the kernel did not take, read back after the
// apply; empty when all is as the record asks.
type CommitResponse struct {
	Problems []Problem `json:"problems"`
	// Drains is how many destinations of this node are being drained now, by this
	// commit or an earlier one: ask for Drains until there are none.
	Drains int `json:"drains,omitempty"`
	// Warnings are those of Status, right after the apply.
	Warnings []Warning `json:"warnings,omitempty"`
}

// AbortRequest gives the lease back without a change.
type AbortRequest struct {
	Holder string `json:"holder"`
}

// RepairRequest asks a node to repair what it reports as problems of the objects,
// and nothing else; without objects, all of it. A node repairs at once even when
// its cluster's repair is RepairReport or it has backed off.
type RepairRequest struct {
	Objects []Ref `json:"objects,omitempty"`
}

// RepairResponse lists what of these objects is still not as the record asks,
// read back after the repair.
type RepairResponse struct {
	Problems []Problem `json:"problems"`
}

// RefusalCode says why an agent did not do as asked.
type RefusalCode string

const (
	// Busy: another writer holds the lease.
	Busy RefusalCode = "busy"
	// Stale: the node's record is as new as the one sent, or not the one that it is to
	// replace, or the node has promised that generation to another writer.
	Stale RefusalCode = "stale"
	// Foreign: the node belongs to another cluster, or is another node of this.
	Foreign RefusalCode = "foreign"
	// NotPrepared: commit without prepare (the lease ran out, the agent restarted).
	NotPrepared RefusalCode = "not_prepared"
	// Newer: the agent has a record that it cannot read, of a newer version.
	Newer RefusalCode = "newer_record"
	// Failed: anything else.
	Failed RefusalCode = "error"
)

// Refusal is the body of every answer that is not a success.
type Refusal struct {
	Code RefusalCode `json:"code"`
	// Text says what, why and what to do.
	Text string `json:"text"`
	// Version is the agent's, set with Newer.
	Version string `json:"version,omitempty"`
	// RetryAfterMillis is set with Busy: when the lease runs out at the latest.
	RetryAfterMillis int64 `json:"retry_after_millis,omitempty"`
	// Generation, Hash and Promised are the node's own, set with Stale.
	Generation uint64 `json:"generation,omitempty"`
	Hash       string `json:"hash,omitempty"`
	Promised   uint64 `json:"promised,omitempty"`
}

func (r *Refusal) Error() string { return r.Text }
