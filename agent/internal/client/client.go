// Package client calls the agent of this host on its socket.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Client calls the agent that listens on a socket.
type Client struct{ socket string }

// New is a client of the agent on the socket.
func New(socket string) *Client { return &Client{socket} }

// Ask calls the agent's API on its socket and reads the answer into into. A
// refusal is a *mesh.Refusal; no agent there is a *NotRunningError.
func (c *Client) Ask(ctx context.Context, method, path string, body, into any) error {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}}
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return fmt.Errorf("ask the agent: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal mesh.Refusal
		if json.Unmarshal(answer, &refusal) == nil && refusal.Text != "" {
			return &refusal
		}
		return fmt.Errorf("the agent answered %s", resp.Status)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}

// Status is what the agent says of its node.
func (c *Client) Status(ctx context.Context) (*mesh.Status, error) {
	var st mesh.Status
	if err := c.Ask(ctx, http.MethodGet, mesh.PathStatus, nil, &st); err != nil {
		return nil, err
	}
	return &st, nil
}
