package meshclient

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentbin"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

const (
	// parallelCalls bounds calls to different nodes at the same time.
	parallelCalls = 64
)

// Client is one provider configuration's access to one cluster. It is safe
// for concurrent use and holds no state outside itself.
type Client struct {
	cfg    Config
	router *sshdial.Router
	hosts  []*sshdial.Endpoint // of Config.Hosts, in its order
	pool   *sshdial.Pool
	agents *agentapi.Client
	holder string // of the lease: random, so that two processes are told apart
	cache  *snapshotCache
	queue  *queue
	places places // that the Terraform state knows
	// removals are waited for by creations that they make room for.
	removals *removals
	// writing is held by a commit, and by the removal of a keeper of the record.
	writing chan struct{}
	closed  context.Context
	close   context.CancelFunc
}

// New checks the configuration; it never dials. Errors are *sshdial.ConfigError.
func New(cfg Config) (*Client, error) {
	if err := checkUnreachable(cfg.OnUnreachable); err != nil {
		return nil, err
	}
	r, err := sshdial.NewRouter(cfg.SSH)
	if err != nil {
		return nil, err
	}
	hosts, err := hostEndpoints(r, cfg.Hosts)
	if err != nil {
		return nil, err
	}
	if cfg.SSH.Timeout <= 0 {
		cfg.SSH.Timeout = sshdial.DefaultTimeout
	}
	c := &Client{
		cfg: cfg, router: r, hosts: hosts,
		holder: rand.Text(), writing: make(chan struct{}, 1),
		removals: newRemovals(),
	}
	c.closed, c.close = context.WithCancel(context.Background())
	c.pool = sshdial.NewPool(cfg.SSH, agentapi.HTTPCommand(), c.detach)
	c.agents = &agentapi.Client{
		Version: cfg.Version, Pool: c.pool, Patience: cfg.SSH.Timeout, Binaries: &agentbin.Binaries{Source: cfg.AgentBinary}, Detach: c.detach, Log: c.log,
	}
	c.cache = &snapshotCache{fetch: c.fetchSnapshot, detach: c.detach}
	c.queue = &queue{run: c.commitBatch, detach: c.detach}
	return c, nil
}

// Warnings says what of ~/.ssh/config is passed over, one sentence each.
func (c *Client) Warnings() []string { return c.router.Warnings() }

// Close waits for the commit in flight and closes every connection.
func (c *Client) Close() error {
	c.queue.close()
	c.close()
	c.pool.Close(ErrClosed)
	return nil
}

// detach makes a context that outlives ctx, keeps its values (loggers live in
// them), and ends with the client or after d.
func (c *Client) detach(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	stop := context.AfterFunc(c.closed, cancel)
	return ctx, func() { stop(); cancel() }
}

// whileOpen makes a context that ends with ctx or with the client.
func (c *Client) whileOpen(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.closed, cancel)
	return ctx, func() { stop(); cancel() }
}

func (c *Client) log(ctx context.Context, msg string, fields map[string]any) {
	if c.cfg.Log != nil {
		c.cfg.Log(ctx, msg, fields)
	}
}

// PinHostKey makes key (authorized_keys form) the only one that address
// ("host:port") may show, unless a host_key of the configuration says
// otherwise. A connection that was accepted with another key is closed.
func (c *Client) PinHostKey(address, key string) {
	if key == "" {
		return
	}
	c.pool.PinHostKey(c.router.Resolve(address), key, "the Terraform state")
}

// HostKey returns the key that address ("host:port") showed, else the one that
// is pinned, in authorized_keys form; "" when there is none.
func (c *Client) HostKey(address string) string { return c.pool.HostKey(c.router.Resolve(address)) }

// HostKeys returns the keys of the configured hosts, and of the bastions on the way to
// them and to the nodes, by "host:port"; as seen, else as pinned; "" of one of
// which neither is known. The nodes' own keys are in the record.
func (c *Client) HostKeys() map[string]string {
	keys := map[string]string{}
	for _, ep := range slices.Concat(c.hosts, c.bastions()) {
		keys[ep.Address()] = c.pool.HostKey(ep.Address())
	}
	return keys
}

// HoldToKnown makes the provider's hosts and their bastions show keys that are known: an
// apply that changes what exists has met them before, so that one at first sight is
// somebody else's, or a plan's refresh is missing.
func (c *Client) HoldToKnown() { c.pool.HoldToKnown(slices.Concat(c.hosts, c.bastions())...) }

// bastions are those on the way to the hosts, and to the nodes of the last snapshot.
func (c *Client) bastions() (bastions []*sshdial.Endpoint) {
	ways := slices.Clone(c.hosts)
	if snap := c.LastSnapshot(); snap != nil && snap.Record != nil {
		for _, name := range snap.Record.NodeNames() {
			if ep, err := c.nodeEndpoint(snap.Record.Nodes[name]); err == nil {
				ways = append(ways, ep)
			}
		}
	}
	known := map[string]bool{}
	for _, ep := range ways {
		for via := ep.Via; via != nil && !known[via.Route()]; via = via.Via {
			known[via.Route()] = true
			bastions = append(bastions, via)
		}
	}
	return bastions
}

// Result is what a change led to. It comes with an error too when the change
// is in the record and some node did not take it (ProblemsError.Committed).
type Result struct {
	// Record is the one that was committed; read only.
	Record *mesh.Record
	// Status has what the nodes said just before the commit, by name.
	Status map[string]*mesh.Status
	// Port is what PutPort published.
	Port *mesh.PublishedPort
	// Warnings are about nodes that lag and about what is wrong elsewhere.
	Warnings []Notice
	// Traffic is what keeps traffic from flowing on the nodes, as far as they said
	// it after the commit and not before.
	Traffic  []Warning
	draining *draining // nil without a commit
}
