package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// serveName answers every connection and every packet with the host's name. The server closes first, so that it is not the client's ports that
// wait for late packets.
func serveName(ctx context.Context, address string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p, err := config.ListenPacket(ctx, "udp4", l.Addr().String())
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), l.Close())
	}
	failed := make(chan error, 2)
	go func() { failed <- serveTCP(l, name) }()
	go func() { failed <- serveUDP(p, name) }()
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, l.Close(), p.Close())
}

func serveTCP(l net.Listener, name string) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			fmt.Fprintln(c, name)
		}()
	}
}

func serveUDP(p net.PacketConn, name string) error {
	b := make([]byte, 64)
	for {
		_, from, err := p.ReadFrom(b)
		if err != nil {
			return err
		}
		if _, err := p.WriteTo([]byte(name+"\n"), from); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err) // one client that is gone
		}
	}
}
