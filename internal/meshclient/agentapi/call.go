package agentapi

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
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// maxAnswer is in bytes; a record of 10,000 ports has 1 MB.
const maxAnswer = 64 << 20

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
	conn, err := c.Pool.Get(ctx, ep, min(k.patience, c.Patience))
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, k.timeout, &SlowError{k.path, k.timeout})
	defer cancel()
	err = roundTrip(limited, conn.HTTP(), k)
	switch {
	case err == nil, IsRefusal(err):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil:
		err = context.Cause(limited)
	}
	return agentError(conn.HTTPError(err))
}

// repeatable makes a call that does no harm when it is made twice, once more if
// the connection broke: it may have been idle for long.
func (c *Client) repeatable(ctx context.Context, ep *sshdial.Endpoint, k call) error {
	err := c.do(ctx, ep, k)
	broken, ok := errors.AsType[*sshdial.UnreachableError](err)
	if _, slow := errors.AsType[*SlowError](err); ok && broken.Attempts == 0 && !slow && ctx.Err() == nil {
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
	return decode(data, k.answer)
}

// decode is where what an agent says comes in: no text of a host reaches a terminal with
// what that would obey. The record has rules of its own (mesh.Record.Validate), and a hash.
func decode(data []byte, into any) error {
	data, err := plain.JSON(data, "record")
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func refusalOf(resp *http.Response, data []byte) *mesh.Refusal {
	var r mesh.Refusal
	if decode(data, &r) != nil || r.Code == "" {
		r = mesh.Refusal{Code: mesh.Failed, Text: prose.Clean(fmt.Sprintf("the agent answered %s: %.200s", resp.Status, data))}
	}
	return &r
}
