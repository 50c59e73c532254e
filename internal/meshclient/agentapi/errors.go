package agentapi

import (
	"errors"
	"fmt"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// NoAgentError is a host that answered and has no agent.
type NoAgentError struct{ Address string }

func (e *NoAgentError) Error() string {
	return fmt.Sprintf("%s answers, and no routingmesh-agent is installed there", e.Address)
}

// AgentDownError is a host whose agent is installed and does not run.
type AgentDownError struct {
	Address string
	Stderr  string
}

func (e *AgentDownError) Error() string {
	return fmt.Sprintf("the routingmesh-agent on %s is installed and not running: see `systemctl status routingmesh-agent` and "+
		"`journalctl -u routingmesh-agent` there (%s)", e.Address, prose.Clean(e.Stderr))
}

// VersionError is an agent, or a record, that this provider cannot read.
type VersionError struct {
	Address string // host:port
	API     int    // the agent's
	Version string // the agent's
	Detail  string
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s runs routingmesh-agent %s (API %d), this provider speaks API %d: %s",
		e.Address, e.Version, e.API, mesh.APIVersion, e.Detail)
}

// SlowError is a call that the agent did not answer in time.
type SlowError struct {
	Path   string
	Waited time.Duration
}

func (e *SlowError) Error() string {
	return fmt.Sprintf("the agent did not answer %s within %s", e.Path, e.Waited)
}

// IsNoAgent says that the host answered and has no agent.
func IsNoAgent(err error) bool { return is[*NoAgentError](err) }

// IsDown says that the host's agent is installed and does not run.
func IsDown(err error) bool { return is[*AgentDownError](err) }

// IsNewer says that the host's agent is too old for the record that the host has.
func IsNewer(err error) bool {
	r, ok := errors.AsType[*mesh.Refusal](err)
	return ok && r.Code == mesh.Newer
}

// IsRefusal says that the agent has refused the request.
func IsRefusal(err error) bool { return is[*mesh.Refusal](err) }

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
