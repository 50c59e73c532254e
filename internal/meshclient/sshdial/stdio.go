package sshdial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// HTTPCommand is a command that speaks HTTP/1.1 with its stdin and stdout.
type HTTPCommand struct {
	What   string // names it in errors: "the call of the agent"
	Script string // run as root; see CommandLine
}

// newHTTPClient has a session for each of its connections.
func (c *Conn) newHTTPClient(command HTTPCommand) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.openStdio(ctx, command)
		},
		MaxConnsPerHost: httpSessions, MaxIdleConnsPerHost: httpSessions, DisableCompression: true,
	}}
}

// HTTP is the client that speaks with the pool's HTTPCommand. Idle
// sessions of it make room where a command needs one and the server takes no
// more. Its errors, and those of a body that is read, are for HTTPError.
func (c *Conn) HTTP() *http.Client { return c.http }

// HTTPError takes the HTTP client's words off an error. It is one of those of
// Exec, else an *UnreachableError.
func (c *Conn) HTTPError(err error) error {
	if ours, ok := errors.AsType[*sessionError](err); ok {
		return ours.err
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return &UnreachableError{Host: c.ep.Name, Address: c.ep.Address(), Err: err}
}

// stdio is a command's stdin and stdout as a net.Conn, to speak HTTP over.
type stdio struct {
	io.Writer
	reader  *afterMark
	conn    *Conn
	what    string // names the command in errors
	session *ssh.Session
	stderr  *tail
	exited  chan struct{} // closed when exit is set
	exit    error
	closed  atomic.Bool   // by us: that it ended then means nothing
	late    atomic.Bool   // the mark did not come in time
	atEnd   chan struct{} // closed when all of stdout was read
	allRead sync.Once
}

func (c *Conn) openStdio(ctx context.Context, command HTTPCommand) (*stdio, error) {
	session, err := c.session(ctx, false)
	if err != nil {
		return nil, err
	}
	s := &stdio{conn: c, what: command.What, session: session, stderr: &tail{}, exited: make(chan struct{}), atEnd: make(chan struct{})}
	session.Stderr = s.stderr
	var stdout io.Reader
	if s.Writer, err = session.StdinPipe(); err == nil {
		if stdout, err = session.StdoutPipe(); err == nil {
			err = session.Start(c.ep.CommandLine(command.Script))
		}
	}
	if err != nil {
		session.Close()
		c.sessions.release()
		return nil, &sessionError{c.notStarted(err)}
	}
	timer := time.AfterFunc(markWithin, func() {
		s.late.Store(true)
		session.Close()
	})
	s.reader = &afterMark{from: stdout, mark: rootMark, found: func() { timer.Stop() }}
	go func() {
		s.exit = session.Wait()
		timer.Stop()
		close(s.exited)
		c.sessions.release()
	}()
	return s, nil
}

func (s *stdio) Read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	if err != nil && n == 0 {
		s.allRead.Do(func() { close(s.atEnd) })
		return 0, s.why(err)
	}
	return n, nil
}

func (s *stdio) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	if err != nil {
		// The command has ended. What it printed may still be on its way to Read,
		// which the HTTP client always has under way.
		select {
		case <-s.atEnd:
		case <-time.After(exitGrace):
		}
		err = s.why(err)
	}
	return n, err
}

// why replaces a bare EOF by what the command said when it ended.
func (s *stdio) why(err error) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	select {
	case <-s.exited:
	case <-time.After(exitGrace):
		if !s.late.Load() {
			return err
		}
	}
	noise, ran := s.reader.printed()
	ran = ran || strings.Contains(s.stderr.String(), rootMark+"\n")
	if s.late.Load() {
		return &sessionError{s.conn.refusal(noise, s.stderr.String(), fmt.Sprintf("our command did not start within %s", markWithin))}
	}
	if s.exit == nil && ran {
		return err
	}
	return &sessionError{s.conn.commandError(commandEnd{what: s.what, err: s.exit, noise: noise, ran: ran, stderr: s.stderr.String()})}
}

// Close ends the whole channel. To close stdin first would race with a Write in
// x/crypto, and tells the command no more than this does.
func (s *stdio) Close() error {
	s.closed.Store(true)
	return s.session.Close()
}

func (s *stdio) LocalAddr() net.Addr              { return nowhere() }
func (s *stdio) RemoteAddr() net.Addr             { return nowhere() }
func (s *stdio) SetDeadline(time.Time) error      { return nil }
func (s *stdio) SetReadDeadline(time.Time) error  { return nil }
func (s *stdio) SetWriteDeadline(time.Time) error { return nil }
