package meshclient

import (
	"bytes"
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
	agentPath = "/usr/local/bin/routingmesh-agent"
	// maxStderr is how much of a remote command's complaint is kept.
	maxStderr = 8 << 10
	// exitGrace is how long an exit status may come after the output ended.
	exitGrace = 2 * time.Second
)

// asRoot is the command as the endpoint's user must give it.
func (e *endpoint) asRoot(command string) string {
	if e.sudo {
		return "sudo -n " + command
	}
	return command
}

// shell wraps a script so that the user's own login shell does not matter.
func shell(script string) string { return "sh -c '" + strings.ReplaceAll(script, "'", `'\''`) + "'" }

// exec runs a command to its end and returns what it wrote. what names it in
// errors: "installing the agent".
func (c *conn) exec(ctx context.Context, what, command string, stdin io.Reader) (string, error) {
	session, err := c.session(ctx)
	if err != nil {
		return "", err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	var stdout bytes.Buffer
	stderr := &tail{}
	session.Stdin, session.Stdout, session.Stderr = stdin, &stdout, stderr
	err = session.Run(command)
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s on %s did not end in time: %w", what, c.ep.address(), context.Cause(ctx))
	}
	return "", c.commandError(what, err, stderr.String())
}

// session opens a channel. A caller that leaves must not take the connection
// with it, which others use: the channel is closed when it comes.
func (c *conn) session(ctx context.Context) (*ssh.Session, error) {
	type opened struct {
		session *ssh.Session
		err     error
	}
	result := make(chan opened, 1)
	go func() {
		s, err := c.client.NewSession()
		result <- opened{s, err}
	}()
	select {
	case o := <-result:
		if o.err == nil {
			return o.session, nil
		}
		if _, refused := errors.AsType[*ssh.OpenChannelError](o.err); !refused {
			c.close()
		}
		return nil, &sessionError{c.broken("no session: %w", o.err)}
	case <-ctx.Done():
		go func() {
			if o := <-result; o.err == nil {
				o.session.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func (c *conn) broken(format string, args ...any) error {
	return &UnreachableError{Host: c.ep.name, Address: c.ep.address(), Err: fmt.Errorf(format, args...)}
}

// sessionError carries an error of ours through the HTTP client, which wraps
// it in its own words.
type sessionError struct{ err error }

func (e *sessionError) Error() string { return e.err.Error() }
func (e *sessionError) Unwrap() error { return e.err }

// commandError finds out what it means that a command failed.
func (c *conn) commandError(what string, err error, stderr string) error {
	address := c.ep.address()
	exit, ok := errors.AsType[*ssh.ExitError](err)
	if !ok {
		// A command that ends without a status: the connection is going down, and
		// whoever asks next must not be given it again.
		c.close()
		return c.broken("the connection broke: %w", err)
	}
	switch code := exit.ExitStatus(); {
	case c.ep.sudo && sudoFailed(stderr):
		return &SudoError{User: c.ep.user, Address: address, Stderr: stderr}
	case code == 127, strings.Contains(stderr, agentPath+": command not found"):
		return &NoAgentError{Address: address}
	case code == 3:
		return &AgentDownError{Address: address, Stderr: stderr}
	default:
		return &CommandError{Address: address, What: what, Code: code, Stderr: stderr}
	}
}

// sudoFailed tells sudo's own complaints, in all the words it has had for
// them, from those of the command: "sudo: /usr/…: command not found" is the
// command's.
func sudoFailed(stderr string) bool {
	for _, s := range []string{
		"sudo: command not found", "sudo: not found", "password is required", "terminal is required",
		"you must have a tty", "not in the sudoers file", "not allowed to", "no tty present",
	} {
		if strings.Contains(stderr, s) {
			return true
		}
	}
	return false
}

// tail keeps the end of what is written to it; safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - maxStderr; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// stdio is a command's stdin and stdout as a net.Conn, to speak HTTP over.
type stdio struct {
	io.Reader
	io.Writer
	conn    *conn
	session *ssh.Session
	stderr  *tail
	exited  chan struct{} // closed when exit is set
	exit    error
	closed  atomic.Bool // by us: that it ended then means nothing
}

func (c *conn) openStdio(ctx context.Context, command string) (*stdio, error) {
	session, err := c.session(ctx)
	if err != nil {
		return nil, err
	}
	s := &stdio{conn: c, session: session, stderr: &tail{}, exited: make(chan struct{})}
	session.Stderr = s.stderr
	if s.Writer, err = session.StdinPipe(); err == nil {
		if s.Reader, err = session.StdoutPipe(); err == nil {
			err = session.Start(command)
		}
	}
	if err != nil {
		session.Close()
		return nil, &sessionError{c.broken("the command could not be started: %w", err)}
	}
	go func() {
		s.exit = session.Wait()
		close(s.exited)
	}()
	return s, nil
}

func (s *stdio) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && n == 0 {
		return 0, s.why(err)
	}
	return n, nil
}

func (s *stdio) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	if err != nil {
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
		return err
	}
	if s.exit == nil {
		return err
	}
	return &sessionError{s.conn.commandError("the call of the agent", s.exit, s.stderr.String())}
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
