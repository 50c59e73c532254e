package sshdial_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// installed is a host whose commands are those that meshtest knows.
func installed(t *testing.T) (*meshtest.Fleet, *meshtest.Node) {
	f := meshtest.New(t, "n1")
	f.Node("n1").SetInstalled(true)
	return f, f.Node("n1")
}

// prepare makes what a host is dialled with.
func prepare(t *testing.T, n *meshtest.Node, cfg sshdial.Config) (*sshdial.Pool, *sshdial.Endpoint) {
	t.Helper()
	r, err := sshdial.NewRouter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ep, err := r.Host(n.Addr())
	if err != nil {
		t.Fatal(err)
	}
	detach := func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.WithoutCancel(ctx), d)
	}
	pool := sshdial.NewPool(cfg, sshdial.HTTPCommand{What: "the call of the agent", Script: "exec $a dial-stdio"}, detach)
	t.Cleanup(func() { pool.Close(errors.New("the test has ended")) })
	return pool, ep
}

// call makes one HTTP call of a host.
func call(t *testing.T, pool *sshdial.Pool, ep *sshdial.Endpoint) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	conn, err := pool.Get(ctx, ep, 10*time.Second)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+mesh.PathStatus, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := conn.HTTP().Do(req)
	if err != nil {
		return conn.HTTPError(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return conn.HTTPError(err)
	}
	return nil
}

// ask calls a host over a connection of its own.
func ask(t *testing.T, n *meshtest.Node, cfg sshdial.Config) error {
	t.Helper()
	pool, ep := prepare(t, n, cfg)
	return call(t, pool, ep)
}

func wantText(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q:\n%v", part, err)
		}
	}
}
