package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// Limits of what an engine may answer, in bytes; maxRate is per second, over all that a socket
// says. They bound the time that is spent on an engine whose user means ill.
const (
	maxRate    = 4 << 20
	maxBurst   = 2 * maxBody
	maxBody    = 16 << 20
	maxInspect = 4 << 20 // several are under way at once
	maxEvent   = 1 << 20
	maxRefusal = 4 << 10 // of a refusal's text that is read
)

// client talks to one socket.
type client struct {
	http    http.Client
	timeout time.Duration
}

var errPeer = errors.New("another user answers on the socket")

func newClient(root string, s source, timeout time.Duration) *client {
	budget := rate.NewLimiter(maxRate, maxBurst)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(root, s.path))
		if err == nil && s.uid != anyUser {
			err = checkPeer(conn, s.uid)
		}
		if err != nil {
			if conn != nil {
				conn.Close()
			}
			return nil, err
		}
		return &throttled{conn, budget}, nil
	}
	return &client{timeout: timeout, http: http.Client{
		// A connection that is kept would be a broken one after the engine's restart.
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// checkPeer says whether a user listens on a socket in that user's folder: what is there may be
// a link to the socket of somebody else, which would answer the agent because that is root.
func checkPeer(conn net.Conn, uid int) error {
	raw, err := conn.(*net.UnixConn).SyscallConn() //nolint:forcetypeassert // it was dialled as unix
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) { peer, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, optErr); err != nil {
		return err
	}
	if int(peer.Uid) != uid {
		return errPeer
	}
	return nil
}

// throttled is a connection from which no more is read than its limiter allows.
type throttled struct {
	net.Conn
	budget *rate.Limiter
}

func (t *throttled) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p[:min(len(p), 64<<10)])
	time.Sleep(t.budget.ReserveN(time.Now(), n).Delay()) // 16 ms at most, times the requests under way
	return n, err
}

// request sends a GET. The caller closes the body of an answer without error.
func (c *client) request(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "localhost", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "routingmesh-agent")
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, reason(err)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
		return nil, &refusal{answer.StatusCode, message(text)}
	}
	return answer, nil
}

// get has the body of an answer read by parse, which is not given more than limit. The whole
// takes no longer than the timeout.
func (c *client) get(ctx context.Context, path string, query url.Values, limit int64, parse func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := c.request(ctx, path, query)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body := &limited{r: answer.Body, left: limit}
	err = parse(body)
	switch {
	case body.exceeded:
		return &tooLarge{limit}
	case body.failed != nil: // the parser has only heard that it ends early
		return reason(body.failed)
	}
	return err
}

// limited reads as io.LimitReader, and remembers why it ended.
type limited struct {
	r        io.Reader
	left     int64
	exceeded bool
	failed   error
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		n, err := l.r.Read(make([]byte, 1))
		l.exceeded = l.exceeded || n > 0
		if err == nil || n > 0 {
			return 0, io.ErrUnexpectedEOF
		}
		return 0, l.remember(err)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, l.remember(err)
}

func (l *limited) remember(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		l.failed = err
	}
	return err
}
