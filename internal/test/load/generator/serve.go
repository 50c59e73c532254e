package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// serve answers HTTP with "HOST:PORT REQUEST". Told that it drains (SIGUSR1), it goes on answering, and says in each answer that the
// connection ends. Told to end, it takes no new connection, says the same in the answers that are under way, closes those that wait, and is
// gone when all are.
func serve(ctx context.Context, address string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return errors.Join(err, l.Close())
	}
	var drains atomic.Bool
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	defer signal.Stop(told)
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if drains.Load() {
				w.Header().Set("Connection", "close")
			}
			fmt.Fprintf(w, "%s:%s %s\n", host, port, strings.TrimPrefix(r.URL.Path, "/"))
		}),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	for ctx.Err() == nil {
		select {
		case err := <-failed:
			return err
		case <-told:
			drains.Store(true)
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	server.SetKeepAlivesEnabled(false)
	return server.Shutdown(ctx)
}
