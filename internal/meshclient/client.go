package meshclient

import (
	"context"
	"errors"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Client is one provider configuration's access to one cluster.
type Client struct{}

var errTODO = errors.New("not implemented yet")

// New checks the configuration; it never dials. Errors are *ConfigError.
func New(cfg Config) (*Client, error) { return &Client{}, nil }

// Close waits for the commit in flight and closes every connection.
func (c *Client) Close() error { return nil }

// PinHostKey makes key (authorized_keys form) the only one that address
// ("host:port") may show.
func (c *Client) PinHostKey(address, key string) {}

// HostKey returns the key seen or pinned, in authorized_keys form, or "".
func (c *Client) HostKey(address string) string { return "" }

// HostKeys returns the keys of the configured hosts connected so far, by
// "host:port".
func (c *Client) HostKeys() map[string]string { return nil }

// Snapshot is what the nodes said at one moment.
type Snapshot struct {
	// Record is nil when every host answered and none has a record.
	Record *mesh.Record
	// Nodes has every node of the record, by name.
	Nodes map[string]NodeView
	// Hosts has every host of the provider block, by its entry there.
	Hosts map[string]HostView
	// Warnings are sentences about hosts that could not be heard.
	Warnings []string
}

// NodeView is what one node said, or why it said nothing.
type NodeView struct {
	Status *mesh.Status
	// Err is set when Status is nil: *UnreachableError, *NoAgentError, …
	Err error
}

// HostView is a NodeView of a host of the provider block.
type HostView struct {
	Address string // host:port
	Status  *mesh.Status
	Err     error
}

// Snapshot asks every node once; callers share the answer until a commit.
func (c *Client) Snapshot(ctx context.Context) (*Snapshot, error) { return nil, errTODO }

// LastSnapshot returns the cached snapshot or nil; it never dials.
func (c *Client) LastSnapshot() *Snapshot { return nil }

// Result is what a change led to.
type Result struct {
	Record *mesh.Record
	// Status has the answers of the nodes just before the commit, by name.
	Status map[string]*mesh.Status
	// Port is what PutPort published.
	Port     *mesh.PublishedPort
	Warnings []string
}

// CreateCluster installs the agent on the hosts and commits a first record.
func (c *Client) CreateCluster(ctx context.Context, cl mesh.Cluster) (*Result, error) {
	return nil, errTODO
}

// UpdateCluster changes the cluster's settings.
func (c *Client) UpdateCluster(ctx context.Context, cl mesh.Cluster) (*Result, error) {
	return nil, errTODO
}

// DestroyCluster uninstalls the agent from every host that still has one.
func (c *Client) DestroyCluster(ctx context.Context, name string) error { return errTODO }

// PutNode joins a host or changes a node.
func (c *Client) PutNode(ctx context.Context, cluster string, n mesh.Node, create bool) (*Result, error) {
	return nil, errTODO
}

// RemoveNode takes a node out of the record and cleans its host.
func (c *Client) RemoveNode(ctx context.Context, cluster, name string) (*Result, error) {
	return nil, errTODO
}

// PutService creates or changes a service.
func (c *Client) PutService(ctx context.Context, cluster string, s mesh.Service, create bool) (*Result, error) {
	return nil, errTODO
}

// RemoveService removes a service.
func (c *Client) RemoveService(ctx context.Context, cluster, name string) (*Result, error) {
	return nil, errTODO
}

// PutPort publishes or changes a port; Published 0 allocates one.
func (c *Client) PutPort(ctx context.Context, cluster string, p mesh.PublishedPort, create bool) (*Result, error) {
	return nil, errTODO
}

// RemovePort closes a port.
func (c *Client) RemovePort(ctx context.Context, cluster string, k mesh.PortKey) (*Result, error) {
	return nil, errTODO
}
