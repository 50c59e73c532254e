// Package meshtest serves nodes to test against: real SSH handshakes on
// 127.0.0.1, and behind them a small agent that keeps the record in memory.
package meshtest

import (
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// Fleet is a set of nodes.
type Fleet struct {
	// PrivateKey logs in to every node, as PEM.
	PrivateKey string
	nodes      map[string]*Node
}

// Node is one host.
type Node struct {
	// HostKey is the server's key in authorized_keys form.
	HostKey string
}

// Request is one call of the agent's API.
type Request struct {
	Method, Path, Node string
	Body               []byte
}

// New starts one host per name; they stop with the test.
func New(t testing.TB, names ...string) *Fleet { return nil }

// Node returns the host of that name.
func (f *Fleet) Node(name string) *Node { return f.nodes[name] }

// Hosts returns the addresses of the named hosts, of all without names.
func (f *Fleet) Hosts(names ...string) []string { return nil }

// ClientConfig returns a configuration that reaches the named hosts (all
// without names).
func (f *Fleet) ClientConfig(names ...string) meshclient.Config { return meshclient.Config{} }

// TotalRequests counts the calls of a path on all hosts.
func (f *Fleet) TotalRequests(path string) int { return 0 }

// Addr is "127.0.0.1:port".
func (n *Node) Addr() string { return "" }

// Requests lists the calls so far, oldest first.
func (n *Node) Requests() []Request { return nil }

// Connections counts the SSH connections accepted so far.
func (n *Node) Connections() int { return 0 }

// SetDown cuts every connection and refuses new ones; false brings it back.
func (n *Node) SetDown(down bool) {}

// SetInstalled puts an agent on the host, or takes it away with its record.
func (n *Node) SetInstalled(installed bool) {}

// SetProblems makes the agent object to records in prepare, and report in
// commit and status.
func (n *Node) SetProblems(prepare, commit func(*mesh.Record) []mesh.Problem) {}

// Record is the host's record, nil without one.
func (n *Node) Record() *mesh.Record { return nil }
