package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// pulse is a part of the agent that must get on.
type pulse struct {
	name string
	// within is how long it may take at most, when all is well.
	within time.Duration
	// feel returns once the part has answered, nil if it has.
	feel func(ctx context.Context) error
}

// watchdog tells systemd that the agent gets on, as long as every part does. When it
// stops telling, systemd ends the agent and starts it again (WatchdogSec of the unit);
// what is in the kernel stays as it is meanwhile.
type watchdog struct {
	every  time.Duration // between two messages
	tell   func(ctx context.Context, message string) error
	pulses []pulse
	log    *slog.Logger

	mu   sync.Mutex
	felt []time.Time // when each pulse was felt last
}

// watchdogEvery is how often systemd wants to hear of the agent, 0 for never: a quarter
// of the time after which it ends it (sd_watchdog_enabled(3)).
func watchdogEvery() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 4
}

// run returns when ctx ends, or at once where nobody wants to be told.
func (w *watchdog) run(ctx context.Context) {
	if w.every <= 0 {
		return
	}
	w.felt = make([]time.Time, len(w.pulses))
	for i, p := range w.pulses {
		w.felt[i] = time.Now()
		go w.follow(ctx, i, p)
	}
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for said := ""; ; {
		late := w.late()
		switch {
		case late == "":
			if err := w.tell(ctx, "WATCHDOG=1"); err != nil && ctx.Err() == nil {
				w.log.Warn("cannot tell systemd that the agent gets on", "error", err)
			}
		case late != said:
			w.log.Error("a part of the agent hangs; systemd is told no more, and will restart the agent", "part", late)
		}
		said = late
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// follow feels one pulse again and again.
func (w *watchdog) follow(ctx context.Context, i int, p pulse) {
	for ctx.Err() == nil {
		if err := p.feel(ctx); err != nil {
			w.log.Warn("a part of the agent does not answer", "part", p.name, "error", err)
		} else {
			w.mu.Lock()
			w.felt[i] = time.Now()
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(w.every):
		}
	}
}

// late names a part that has not answered in time, "" for none.
func (w *watchdog) late() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range w.pulses {
		if time.Since(w.felt[i]) > p.within+w.every {
			return p.name
		}
	}
	return ""
}

// Limits of the pulses. A pass over the kernel takes seconds where there are thousands of
// ports; each program that it runs has a minute.
const (
	socketWithin     = time.Minute
	reconcilerWithin = 10 * time.Minute
)

func (d *Daemon) newWatchdog(a *agent) *watchdog {
	return &watchdog{every: watchdogEvery(), tell: notifySystemd, log: d.Log, pulses: []pulse{
		{"socket", socketWithin, d.answers},
		{"reconciler", reconcilerWithin, func(context.Context) error { a.reconciler.Repairs(); return nil }}, // takes its lock
	}}
}

// answers asks the agent's own socket for a path that it does not have: that takes
// neither the kernel nor a lock.
func (d *Daemon) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, socketWithin)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.Socket())
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://agent"+mesh.PathStatus+"/watchdog", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
