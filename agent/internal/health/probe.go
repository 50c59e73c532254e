package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// prober makes checks.
type prober struct {
	dialer
	userAgent string
}

func newProber(o Options) *prober {
	return &prober{dialer: dialer{spaces: o.Spaces}, userAgent: "routingmesh-agent/" + o.Version + " (health check)"}
}

// try makes one check, for as long as ctx lasts. An error is a *notTriedError, or
// why the endpoint fails.
func (p *prober) try(ctx context.Context, a attempt) error {
	c, err := p.dial(a.from, a.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // an error: it is closed already
	defer stop()
	if err = c.finish(); err == nil {
		err = p.ask(ctx, c, &a)
	}
	if err != nil && (isLocal(err) || p.moved(c)) {
		return &notTriedError{err}
	}
	return err
}

// ask is what a connection is made for.
func (p *prober) ask(ctx context.Context, c net.Conn, a *attempt) error {
	switch a.how.Type {
	case mesh.CheckHTTPS:
		secure := tls.Client(c, tlsConfig(&a.how))
		if err := secure.HandshakeContext(ctx); err != nil {
			return &handshakeError{err}
		}
		return p.get(secure, a)
	case mesh.CheckHTTP:
		return p.get(c, a)
	}
	return nil // CheckTCP: it was made
}

// tlsConfig takes any certificate: who checks an endpoint by its address cannot
// know what it is called, and whether it answers is all that is asked.
func tlsConfig(how *mesh.HealthCheck) *tls.Config {
	name := how.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	return &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}} //nolint:gosec // G402: see above
}

// What is read of an answer at most, in bytes.
const (
	maxHeader = 64 << 10
	maxBody   = 64 << 10
)

// get makes a GET request and compares the answer's status. Not through an
// http.Client: it would follow redirects, and take two goroutines and a hundred
// allocations more.
func (p *prober) get(c io.ReadWriter, a *attempt) error {
	host := a.how.Host
	if host == "" {
		host = a.addr.String()
	}
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept: */*\r\nConnection: close\r\n\r\n", a.how.Path, host, p.userAgent)
	if err != nil {
		return err
	}
	limited := &io.LimitedReader{R: c, N: maxHeader}
	resp, err := answer(bufio.NewReader(limited))
	switch {
	case err != nil && limited.N == 0:
		return failure("the header of its answer is longer than 64 KiB")
	case err != nil:
		return err
	}
	limited.N = maxBody
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // so that the server can write it; the status says it all
	codes, err := mesh.ParseStatusCodes(a.how.Status)
	if err != nil {
		return &notTriedError{err} // no record has such
	}
	if !codes.Has(resp.StatusCode) {
		return failure(fmt.Sprintf("status %d, not %s", resp.StatusCode, a.how.Status))
	}
	return nil
}

// answer reads the header of the final answer.
func answer(r *bufio.Reader) (*http.Response, error) {
	const most = 10 // answers that are to be continued, as 103 Early Hints
	for range most {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= http.StatusOK || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
		resp.Body.Close()
	}
	return nil, errors.New("no final answer")
}
