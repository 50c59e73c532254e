package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// NotRunningError is that no agent answers on the socket: layout.WhereToLook says what to do.
type NotRunningError struct{ socket string }

func (e *NotRunningError) Error() string {
	return fmt.Sprintf("the agent is not running on this host (nothing answers on %s)", e.socket)
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, &NotRunningError{c.socket}
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("the agent's socket is root's: run it with sudo: %w", err)
	default:
		return nil, fmt.Errorf("reach the agent: %w", err)
	}
}

// Join joins stdin and stdout to the agent's socket, as `docker system
// dial-stdio` does. The end of stdin is passed on, and what the agent still
// answers is too; when the agent closes, it is over, whatever stdin does.
func (c *Client) Join(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	go func() {
		// An error here is one of reading stdin or of a closed socket: either way
		// the agent gets no more, which CloseWrite says.
		_, _ = io.Copy(conn, stdin)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	if _, err := io.Copy(stdout, conn); err != nil && ctx.Err() == nil {
		return fmt.Errorf("pass on the agent's answer: %w", err)
	}
	return nil
}
