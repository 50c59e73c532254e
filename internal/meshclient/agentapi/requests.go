package agentapi

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// How long an agent may take. A commit includes the apply to the kernel.
const (
	statusTimeout   = 30 * time.Second
	prepareTimeout  = 30 * time.Second
	commitTimeout   = 130 * time.Second // the agent's own is 2 minutes
	repairTimeout   = commitTimeout
	probeTimeout    = 20 * time.Second // the agent's own window is 3 seconds
	countersTimeout = 30 * time.Second
	drainsTimeout   = 10 * time.Second

	// AbortTimeout is how long giving back a lease may take.
	AbortTimeout = 10 * time.Second
	// ReadPatience bounds how long a read waits for a host that does not answer;
	// a host being created is waited for by the write that needs it.
	ReadPatience = 10 * time.Second
)

// Status asks an agent for its state; known is the hash of a record that need
// not be sent again. An answer that cannot be used comes with a *VersionError.
func (c *Client) Status(ctx context.Context, ep *sshdial.Endpoint, known string, patience time.Duration) (*mesh.Status, error) {
	var s mesh.Status
	k := call{path: mesh.PathStatus, answer: &s, timeout: statusTimeout, patience: patience}
	if known != "" {
		k.query = url.Values{"known": {known}}
	}
	if err := c.repeatable(ctx, ep, k); err != nil {
		return nil, err
	}
	return &s, checkStatus(ep, &s)
}

// checkStatus refuses an answer that this program would misread. The status
// comes with the error: a write replaces an agent that is too old.
func checkStatus(ep *sshdial.Endpoint, s *mesh.Status) error {
	fail := func(format string, args ...any) error {
		return &VersionError{Address: ep.Address(), API: s.API, Version: s.Version, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.API > mesh.APIVersion:
		return fail("use a newer version of the provider.")
	case s.API < mesh.APIVersion:
		return fail("the next apply that changes something here replaces the agent.")
	case s.Record == nil:
		return nil
	}
	if err := s.Record.Validate(); err != nil {
		return fail("its record cannot be used: %v", err)
	}
	if s.Record.Hash() != s.Hash {
		return fail("its record has content that this version of the provider does not know: use a newer one.")
	}
	return nil
}

// Prepare has the agent check the next record and take the lease.
func (c *Client) Prepare(ctx context.Context, ep *sshdial.Endpoint, req mesh.PrepareRequest) ([]mesh.Problem, error) {
	var got mesh.PrepareResponse
	err := c.repeatable(ctx, ep, call{path: mesh.PathPrepare, body: req, answer: &got, timeout: prepareTimeout, patience: ReadPatience})
	return got.Problems, err
}

// Commit makes the prepared record the node's own. It is sent once: whether it is
// repeated when the connection breaks is for the caller to say.
func (c *Client) Commit(ctx context.Context, ep *sshdial.Endpoint, req mesh.CommitRequest) (*mesh.CommitResponse, error) {
	var got mesh.CommitResponse
	err := c.do(ctx, ep, call{path: mesh.PathCommit, body: req, answer: &got, timeout: commitTimeout, patience: ReadPatience})
	return &got, err
}

// Abort gives the lease back. It waits for no host that does not answer.
func (c *Client) Abort(ctx context.Context, ep *sshdial.Endpoint, holder string) error {
	return c.repeatable(ctx, ep, call{path: mesh.PathAbort, body: mesh.AbortRequest{Holder: holder}, timeout: AbortTimeout})
}

// Repair has the agent repair the objects; it returns what is still wrong with them.
func (c *Client) Repair(ctx context.Context, ep *sshdial.Endpoint, objects []mesh.Ref) ([]mesh.Problem, error) {
	var got mesh.RepairResponse
	err := c.repeatable(ctx, ep, call{
		path: mesh.PathRepair, body: mesh.RepairRequest{Objects: objects}, answer: &got, timeout: repairTimeout, patience: ReadPatience,
	})
	return got.Problems, err
}

// Probe has the agent try the overlay to the peers.
func (c *Client) Probe(ctx context.Context, ep *sshdial.Endpoint, peers []string) (*mesh.ProbeResponse, error) {
	var got mesh.ProbeResponse
	err := c.repeatable(ctx, ep, call{
		path: mesh.PathProbe, body: mesh.ProbeRequest{Peers: peers}, answer: &got, timeout: probeTimeout, patience: ReadPatience,
	})
	return &got, err
}

// Counters asks for what the node's IPVS has counted.
func (c *Client) Counters(ctx context.Context, ep *sshdial.Endpoint) (*mesh.Counters, error) {
	var got mesh.Counters
	err := c.repeatable(ctx, ep, call{path: mesh.PathCounters, answer: &got, timeout: countersTimeout, patience: ReadPatience})
	return &got, err
}

// Drains asks for what the node drains.
func (c *Client) Drains(ctx context.Context, ep *sshdial.Endpoint) (*mesh.Drains, error) {
	var got mesh.Drains
	err := c.repeatable(ctx, ep, call{path: mesh.PathDrains, answer: &got, timeout: drainsTimeout, patience: ReadPatience})
	return &got, err
}
