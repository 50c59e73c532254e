package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/limit"
)

// Limits of a listener's connections: everybody who reaches the host can connect. A
// balancer that checks many services at once, from one address, has fewer.
const (
	maxConnections = 512 // at the same time
	maxPerSource   = 128
)

// Limits of a request.
const (
	maxHeader   = 8 << 10
	readTimeout = 5 * time.Second
	// writeTimeout is long enough for the metrics of 5,000 ports.
	writeTimeout = 30 * time.Second
	// retryAfter is when to try again to listen.
	retryAfter = 10 * time.Second
)

// listener is an address at which the agent answers.
type listener struct {
	attribute string
	address   netip.AddrPort
	fault     string // why it is not open, a sentence; "" when it is
	listener  net.Listener
	server    *http.Server
	retry     *time.Timer
}

// listen does not wait for anything; the host's own namespace is the one of every
// goroutine that is not locked to a thread.
func listen(address netip.AddrPort) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(context.Background(), "tcp4", address.String())
}

// open listens at once or later. It is called with mu held.
func (f *Front) open(d *listener) {
	l, err := f.listen(d.address)
	if err != nil {
		if d.fault == "" {
			f.options.Log.Error("cannot listen; it is tried again", "attribute", d.attribute, "address", d.address, "every", retryAfter, "error", err)
		}
		d.fault = fault(d, err)
		d.retry = time.AfterFunc(retryAfter, func() { f.again(d) })
		return
	}
	d.fault, d.retry, d.listener = "", nil, l
	d.server = &http.Server{
		Handler:     f.handlers[d.attribute],
		ReadTimeout: readTimeout, WriteTimeout: writeTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(f.options.Log.Handler(), slog.LevelDebug), // what anybody sends
	}
	// One request per connection: a drain is seen by the next check, and nobody
	// keeps a place.
	d.server.SetKeepAlivesEnabled(false)
	go func() { _ = d.server.Serve(limit.Connections(l, maxConnections, maxPerSource)) }() // ends when it is closed
	f.options.Log.Info("listening", "attribute", d.attribute, "address", d.address)
}

// again tries to open a listener that failed, unless it is not wanted any more.
func (f *Front) again(d *listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners[d.attribute] == d {
		f.open(d)
	}
}

func (d *listener) close() {
	if d.retry != nil {
		d.retry.Stop()
	}
	if d.server != nil {
		d.server.Close()
		// Its Serve may not have come to know the listener yet, and would close it
		// some time later: too late for who wants to listen there next.
		d.listener.Close()
	}
}

// fault says that nobody answers at the address, why, and what to do.
func fault(d *listener, err error) string {
	cause, todo := "the kernel refuses it", fmt.Sprintf("Choose another %s for the cluster", d.attribute)
	var code unix.Errno
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		cause, todo = "another program listens there", fmt.Sprintf("Stop it (`ss -ltnp` shows which one), or choose another %s for the cluster", d.attribute)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		cause = "the host has no such address"
	case errors.As(err, &code):
		cause = code.Error()
	}
	consequence := "a load balancer takes this node for dead"
	if d.attribute == metricsAddress {
		consequence = "its metrics cannot be read there"
	}
	return fmt.Sprintf("The agent cannot listen on %s, its %s: %s. So %s. %s.", d.address, d.attribute, cause, consequence, todo)
}
