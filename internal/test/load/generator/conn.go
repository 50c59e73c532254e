package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	// portsPerClient is how many source ports a client has: so few that it meets, on every node, the connections that it has just ended.
	portsPerClient = 2
)

// conn is a connection of a client. It is not net/http's client: that one would hide what fails by trying again.
type conn struct {
	net.Conn
	target string
	read   *bufio.Reader
	asked  int
}

func newConn(c net.Conn, target string) *conn {
	return &conn{Conn: c, target: target, read: bufio.NewReader(c)}
}

// dial connects from the port; from the next of the client's if the kernel still has a connection from there to the target, which is no
// failure of anybody's.
func dial(ctx context.Context, target string, firstPort, turn int) (*conn, error) {
	var err error
	for i := range portsPerClient {
		d := net.Dialer{LocalAddr: &net.TCPAddr{Port: firstPort + (turn+i)%portsPerClient}, Control: reuse}
		var c net.Conn
		c, err = d.DialContext(ctx, "tcp4", target)
		if err == nil {
			return newConn(c, target), nil
		}
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
	return nil, err
}

// reuse lets sockets have the same port: it is the other end that tells them apart.
func reuse(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
	return errors.Join(err, failed)
}

// ask makes one request of a server of ours on the connection, and returns the server's name. The answer to the last one is followed by
// the end of the connection: the server ends it, so that it is not the client's ports that wait for late packets.
func (c *conn) ask(ctx context.Context, id string, last bool) (server string, err error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			err = errors.Join(context.Cause(ctx), err)
		}
	}()
	answer, err := c.get(ctx, "/"+id, last)
	if err != nil {
		return "", err
	}
	server, is := strings.CutSuffix(string(answer.body), " "+id+"\n")
	if !is || answer.status != http.StatusOK {
		return "", fmt.Errorf("not the answer to %s: status %d, %.60q", id, answer.status, answer.body)
	}
	if last {
		if _, err := c.read.ReadByte(); err != io.EOF {
			return "", fmt.Errorf("after the last answer the connection does not end, but: %w", err)
		}
	}
	if answer.closes && !last {
		c.asked = closing
	}
	return server, nil
}

// page is a whole answer; the server closes the connection after it, or does not.
type page struct {
	status int
	closes bool
	body   []byte
}

// get makes one request of any server.
func (c *conn) get(ctx context.Context, path string, last bool) (page, error) {
	c.asked++
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.target+path, http.NoBody)
	if err != nil {
		return page{}, err
	}
	req.Close = last
	if err := req.Write(c); err != nil {
		return page{}, err
	}
	answer, err := http.ReadResponse(c.read, req)
	if err != nil {
		return page{}, fmt.Errorf("no answer on a connection with %d requests before: %w", c.asked-1, err)
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return page{}, fmt.Errorf("a short answer: %w", err)
	}
	return page{answer.StatusCode, answer.Close, body}, nil
}

// closing is more requests than any connection has: the server has said that it ends it.
const closing = 1 << 30

// drop ends a connection that has failed, at once and without a trace: its port is wanted again.
func (c *conn) drop() {
	if tcp, is := c.Conn.(*net.TCPConn); is {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
