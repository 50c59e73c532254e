package meshclient

import (
	"fmt"

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
