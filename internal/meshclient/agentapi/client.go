// Package agentapi calls the agents of hosts over SSH (package sshdial): one method
// per request of the agent's API (mesh.Path…), and the installation, upgrade and
// removal of the agent itself. It knows hosts one by one; what a cluster is, package
// meshclient knows.
//
// Errors are *mesh.Refusal for what an agent refuses, *NoAgentError, *AgentDownError,
// *VersionError and *SlowError, and those of sshdial for a host that cannot be asked.
package agentapi

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentbin"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// Client calls agents. Its fields are set before the first call.
type Client struct {
	Pool *sshdial.Pool // made with HTTPCommand
	// Patience is how long a host that does not answer is waited for at most.
	Patience time.Duration
	// Version is that of the agents that can be installed.
	Version string
	// Binaries are the agents that can be installed.
	Binaries *agentbin.Binaries
	// Detach makes a context that outlives ctx and ends after d.
	Detach func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	// Log gets what is done to hosts.
	Log func(ctx context.Context, msg string, fields map[string]any)

	// installs keeps two resources that name one host from installing twice.
	installs singleflight.Group
}
