package meshclient

import (
	"context"
	"fmt"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// Config says which hosts hold the record and how to reach them.
type Config struct {
	// Hosts are the SSH addresses ("host", "host:port", "user@host:port") of
	// one, three or five hosts of the cluster. They are asked first, and are the
	// voters of a cluster that this client creates.
	Hosts []string
	SSH   sshdial.Config
	// OnUnreachable says what a change does about nodes that cannot take it.
	OnUnreachable UnreachablePolicy
	// ForceHosts has Hosts decide what the record is, and makes them its voters, where
	// the voters are gone for good.
	ForceHosts bool
	// Version is this program's, and that of the agents that it carries. An agent of a
	// newer version is not replaced.
	Version string
	// Log gets what happens below the surface; nil logs nothing. It never
	// receives a secret.
	Log func(ctx context.Context, msg string, fields map[string]any)
	// AgentBinary returns the agent for a Linux architecture in Go's words
	// (amd64, arm64): gzipped, and the hex SHA-256 of what is inside. nil takes
	// the agents embedded in this program.
	AgentBinary func(arch string) (gz []byte, sha256hex string, err error)
}

// UnreachablePolicy says what becomes of a change that not every node and host
// can take now: one cannot be reached, refuses the login, or has no agent that
// answers. Hosts of the provider block that have no agent are not waited for.
type UnreachablePolicy string

const (
	// UnreachableDefault is UnreachableWarn.
	UnreachableDefault UnreachablePolicy = ""
	// UnreachableWarn lets the change through; the node lags until the next one.
	UnreachableWarn UnreachablePolicy = "warn"
	// UnreachableFail refuses the change before anything has changed, with a
	// *HostsError that names who and why. The forced removal of a node whose host
	// cannot be asked goes through all the same.
	UnreachableFail UnreachablePolicy = "fail"
)

func checkUnreachable(p UnreachablePolicy) error {
	if !slices.Contains([]UnreachablePolicy{UnreachableDefault, UnreachableWarn, UnreachableFail}, p) {
		return &sshdial.ConfigError{Attribute: "on_unreachable", Detail: fmt.Sprintf("%q is no policy: want warn or fail.", p)}
	}
	return nil
}
