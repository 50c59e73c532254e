package sshdial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// exitGrace is how long an exit status may come after the output ended.
	exitGrace = 2 * time.Second
	// markWithin is how long a login, and sudo or doas, may take until our command
	// runs. It is shorter than a status may take, so that what they print is said.
	markWithin = 25 * time.Second
)

// Exec runs a script as root to its end and returns its stdout, of which 1 MiB is
// kept. what names it in errors: "installing the agent". What a script may have in
// it says CommandLine. Errors are *CommandError for a script that fails,
// *SudoError, *LoginError, *SessionsError, *UnreachableError for a connection that
// breaks, or have the context's cause in them.
func (c *Conn) Exec(ctx context.Context, what, script string, stdin io.Reader) (string, error) {
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
	err = session.Run(c.ep.CommandLine(script))
	noise, output, ran := strings.Cut(stdout.String(), rootMark+"\n")
	if err == nil && ran {
		return output, nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s on %s did not end in time: %w", what, c.ep.Address(), context.Cause(ctx))
	}
	return "", c.commandError(commandEnd{what: what, err: err, noise: noise, ran: ran, stderr: stderr.String()})
}

func (c *Conn) broken(format string, args ...any) error {
	return &UnreachableError{Host: c.ep.Name, Address: c.ep.Address(), Err: fmt.Errorf(format, args...)}
}

// sessionError carries an error of ours through the HTTP client, which wraps
// it in its own words.
type sessionError struct{ err error }

func (e *sessionError) Error() string { return e.err.Error() }
func (e *sessionError) Unwrap() error { return e.err }
