package meshclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// exitGrace is how long an exit status may come after the output ended.
	exitGrace = 2 * time.Second
	// markWithin is how long a login, and sudo or doas, may take until our command
	// runs. It is shorter than a status may take, so that what they print is said.
	markWithin = 25 * time.Second
)

// exec runs a script as root to its end and returns what it wrote. what names
// it in errors: "installing the agent".
func (c *conn) exec(ctx context.Context, what, script string, stdin io.Reader) (string, error) {
	session, err := c.session(ctx, true)
	if err != nil {
		if ours, ok := errors.AsType[*sessionError](err); ok {
			return "", ours.err
		}
		return "", err
	}
	defer c.sessions.release()
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	stdout, stderr := &head{}, &tail{}
	session.Stdin, session.Stdout, session.Stderr = stdin, stdout, stderr
	err = session.Run(c.ep.asRoot(script))
	noise, output, ran := strings.Cut(stdout.String(), rootMark+"\n")
	if err == nil && ran {
		return output, nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s on %s did not end in time: %w", what, c.ep.address(), context.Cause(ctx))
	}
	return "", c.commandError(commandEnd{what: what, err: err, noise: noise, ran: ran, stderr: stderr.String()})
}

func (c *conn) broken(format string, args ...any) error {
	return &UnreachableError{Host: c.ep.name, Address: c.ep.address(), Err: fmt.Errorf(format, args...)}
}

// sessionError carries an error of ours through the HTTP client, which wraps
// it in its own words.
type sessionError struct{ err error }

func (e *sessionError) Error() string { return e.err.Error() }
func (e *sessionError) Unwrap() error { return e.err }

// stdio is a command's stdin and stdout as a net.Conn, to speak HTTP over.
type stdio struct {
	io.Writer
	reader  *afterMark
	conn    *conn
	session *ssh.Session
	stderr  *tail
	exited  chan struct{} // closed when exit is set
	exit    error
	closed  atomic.Bool   // by us: that it ended then means nothing
	late    atomic.Bool   // the mark did not come in time
	atEnd   chan struct{} // closed when all of stdout was read
	allRead sync.Once
}

func (c *conn) openStdio(ctx context.Context, script string) (*stdio, error) {
	session, err := c.session(ctx, false)
	if err != nil {
		return nil, err
	}
	s := &stdio{conn: c, session: session, stderr: &tail{}, exited: make(chan struct{}), atEnd: make(chan struct{})}
	session.Stderr = s.stderr
	var stdout io.Reader
	if s.Writer, err = session.StdinPipe(); err == nil {
		if stdout, err = session.StdoutPipe(); err == nil {
			err = session.Start(c.ep.asRoot(script))
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
	return &sessionError{s.conn.commandError(commandEnd{what: "the call of the agent", err: s.exit, noise: noise, ran: ran, stderr: s.stderr.String()})}
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
