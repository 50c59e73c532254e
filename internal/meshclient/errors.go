package meshclient

import (
	"fmt"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// ConfigError is a setting of the provider block that cannot work.
type ConfigError struct {
	// Attribute is a path below the provider block: "hosts", "private_key",
	// "bastion.private_key".
	Attribute string
	Detail    string
}

func (e *ConfigError) Error() string { return e.Attribute + ": " + e.Detail }

// NodeProblem is a problem on one node.
type NodeProblem struct {
	// Node is the node's name, or the host's address where it is no node.
	Node string
	mesh.Problem
}

// ProblemsError says what nodes object to, or did not take.
type ProblemsError struct {
	Problems []NodeProblem
	// Committed tells "refused, nothing was changed" (false) from "in the
	// record, and not fully applied" (true).
	Committed bool
}

func (e *ProblemsError) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, fmt.Sprintf("node %s: %s", p.Node, p.Text))
	}
	return strings.Join(lines, "\n")
}

// UnreachableError is a host to which no SSH connection could be made, or
// that stopped answering.
type UnreachableError struct {
	Host     string // as configured
	Address  string // host:port
	Attempts int
	Err      error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("%s cannot be reached: %v", e.Address, e.Err) }

func (e *UnreachableError) Unwrap() error { return e.Err }

// AuthError is a login that the server refused.
type AuthError struct {
	User    string
	Address string   // host:port
	Tried   []string // "publickey SHA256:… (private_key)", "password"
	Offered []string // by the server: "publickey", "password"
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("%s@%s refused the login", e.User, e.Address)
}

// HostKeyError is a host key that is not the known one, or (Known is nil) is
// not known under the policy "strict".
type HostKeyError struct {
	Address string
	Known   []string // SHA256 fingerprints, each with where it is from
	Shown   string   // SHA256 fingerprint
	Key     string   // authorized_keys form
}

func (e *HostKeyError) Error() string { return e.Address + ": host key refused" }

// NoAgentError is a host that answered and has no agent.
type NoAgentError struct{ Address string }

func (e *NoAgentError) Error() string { return "no routingmesh-agent on " + e.Address }

// ForeignError is a host that belongs to another cluster.
type ForeignError struct {
	Host    string
	Cluster string
	UID     string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("host %s already belongs to cluster %s (uid %s)", e.Host, e.Cluster, e.UID)
}

// BusyError is another writer that did not finish in time.
type BusyError struct {
	Waited time.Duration
	Text   string
}

func (e *BusyError) Error() string { return e.Text }
