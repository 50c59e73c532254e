package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// notRunningError is that no agent answers on the socket.
type notRunningError struct{ socket string }

func (e *notRunningError) Error() string {
	return fmt.Sprintf("the agent is not running on this host (nothing answers on %s): see `systemctl status routingmesh-agent`", e.socket)
}

func (p *program) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", p.socket())
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, &notRunningError{p.socket()}
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("the agent's socket is root's: run it with sudo: %w", err)
	default:
		return nil, fmt.Errorf("reach the agent: %w", err)
	}
}

// dialStdio joins stdin and stdout to the agent's socket, as `docker system
// dial-stdio` does. The end of stdin is passed on, and what the agent still
// answers is too; when the agent closes, it is over, whatever stdin does.
func (p *program) dialStdio(ctx context.Context) error {
	conn, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	go func() {
		// An error here is one of reading stdin or of a closed socket: either way
		// the agent gets no more, which CloseWrite says.
		_, _ = io.Copy(conn, p.stdin)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	if _, err := io.Copy(p.stdout, conn); err != nil && ctx.Err() == nil {
		return fmt.Errorf("pass on the agent's answer: %w", err)
	}
	return nil
}
