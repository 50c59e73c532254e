package meshclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	abortTimeout    = 10 * time.Second
	repairTimeout   = commitTimeout
	probeTimeout    = 20 * time.Second // the agent's own window is 3 seconds
	countersTimeout = 30 * time.Second
	drainsTimeout   = 10 * time.Second
	maxAnswer       = 64 << 20 // bytes; a record of 10,000 ports has 1 MB
)

// call is one request to an agent.
type call struct {
	path     string
	query    url.Values
	body     any // nil: GET
	answer   any // nil: none
	timeout  time.Duration
	patience time.Duration // with a host that does not answer
}

// do makes the call once. Errors are *mesh.Refusal for what the agent refuses,
// and those of the connection: *sshdial.UnreachableError, *NoAgentError, ….
func (c *Client) do(ctx context.Context, ep *sshdial.Endpoint, k call) error {
	conn, err := c.pool.Get(ctx, ep, min(k.patience, c.cfg.SSH.Timeout))
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, k.timeout, &slowError{k})
	defer cancel()
	err = roundTrip(limited, conn.HTTP(), k)
	switch {
	case err == nil, isRefusal(err):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil:
		err = context.Cause(limited)
	}
	return agentError(conn.HTTPError(err))
}

// slowError is a call that the agent did not answer in time.
type slowError struct{ call call }

func (e *slowError) Error() string {
	return fmt.Sprintf("the agent did not answer %s within %s", e.call.path, e.call.timeout)
}

// repeatable makes a call that does no harm when it is made twice, once more if
// the connection broke: it may have been idle for long.
func (c *Client) repeatable(ctx context.Context, ep *sshdial.Endpoint, k call) error {
	err := c.do(ctx, ep, k)
	broken, ok := errors.AsType[*sshdial.UnreachableError](err)
	if _, slow := errors.AsType[*slowError](err); ok && broken.Attempts == 0 && !slow && ctx.Err() == nil {
		return c.do(ctx, ep, k)
	}
	return err
}

func roundTrip(ctx context.Context, agent *http.Client, k call) error {
	method, body := http.MethodGet, io.Reader(nil)
	if k.body != nil {
		data, err := json.Marshal(k.body)
		if err != nil {
			return err
		}
		method, body = http.MethodPost, bytes.NewReader(data)
	}
	u := url.URL{Scheme: "http", Host: "agent", Path: k.path, RawQuery: k.query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	// Without a body to send again the transport cannot repeat a request on a
	// connection that died: whether a mutation is repeated is for us to say.
	req.GetBody = nil
	resp, err := agent.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return refusalOf(resp, data)
	}
	if k.answer == nil {
		return nil
	}
	return json.Unmarshal(data, k.answer)
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*mesh.Refusal](err)
	return ok
}

func refusalOf(resp *http.Response, data []byte) *mesh.Refusal {
	var r mesh.Refusal
	if json.Unmarshal(data, &r) != nil || r.Code == "" {
		r = mesh.Refusal{Code: mesh.Failed, Text: fmt.Sprintf("the agent answered %s: %.200s", resp.Status, data)}
	}
	return &r
}

// status asks an agent for its state; known is the hash of a record that need
// not be sent again.
func (c *Client) status(ctx context.Context, ep *sshdial.Endpoint, known string, patience time.Duration) (*mesh.Status, error) {
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

func (c *Client) prepare(ctx context.Context, m *member, p *proposal) (problems []mesh.Problem, err error) {
	ask := func(req mesh.PrepareRequest) ([]mesh.Problem, error) {
		var answer mesh.PrepareResponse
		req.Holder = c.holder
		err := c.repeatable(ctx, m.ep, call{path: mesh.PathPrepare, body: req, answer: &answer, timeout: prepareTimeout, patience: readPatience})
		return answer.Problems, err
	}
	req := p.request(m)
	problems, err = ask(req)
	if p.asWhole(req, err) {
		return ask(mesh.PrepareRequest{Node: m.node, Record: p.next})
	}
	return problems, err
}

func (c *Client) abort(ctx context.Context, ep *sshdial.Endpoint) error {
	return c.repeatable(ctx, ep, call{path: mesh.PathAbort, body: mesh.AbortRequest{Holder: c.holder}, timeout: abortTimeout})
}
