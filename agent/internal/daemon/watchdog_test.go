package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
)

func TestWatchdogEvery(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"120000000", "", 30 * time.Second},
		{"120000000", self, 30 * time.Second},
		{"120000000", "1", 0}, // meant for another process
		{"", "", 0},
		{"0", "", 0},
		{"-4", "", 0},
		{"soon", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", tt.usec)
		t.Setenv("WATCHDOG_PID", tt.pid)
		if got := watchdogEvery(); got != tt.want {
			t.Errorf("usec %q, pid %q: %v, want %v", tt.usec, tt.pid, got, tt.want)
		}
	}
}

// systemd is told while every part answers, and no more once one of them hangs, or
// fails for as long as it may take.
func TestWatchdog(t *testing.T) {
	for name, hang := range map[string]func(context.Context) error{
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"fails": func(context.Context) error { return errors.New("no answer") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var told atomic.Int32
				var ill atomic.Bool
				w := &watchdog{
					every: 30 * time.Second, log: slog.New(slog.DiscardHandler),
					tell: func(context.Context, string) error { told.Add(1); return nil },
					pulses: []pulse{
						{"well", time.Minute, func(context.Context) error { return nil }},
						{"ill", 10 * time.Minute, func(ctx context.Context) error {
							if ill.Load() {
								return hang(ctx)
							}
							return nil
						}},
					},
				}
				go w.run(ctx)
				time.Sleep(time.Hour)
				if n := told.Load(); n < 119 {
					t.Errorf("told %d times in an hour", n)
				}
				ill.Store(true)
				time.Sleep(9 * time.Minute)
				before := told.Load()
				time.Sleep(time.Minute)
				if told.Load() == before {
					t.Error("not told any more before the part is late")
				}
				time.Sleep(5 * time.Minute)
				before = told.Load()
				time.Sleep(time.Hour)
				if n := told.Load() - before; n > 0 {
					t.Errorf("told %d times while a part hangs", n)
				}
			})
		})
	}
}

// Where nobody wants to be told, nothing runs.
func TestWatchdog_NotWanted(t *testing.T) {
	(&watchdog{tell: func(context.Context, string) error { t.Error("told"); return nil }}).run(t.Context())
}

// The agent's own socket is one of the parts: it answers, or it is an error.
func TestWatchdog_Socket(t *testing.T) {
	d := newDaemon(t)
	agenttest.Must(t, os.MkdirAll(d.RunDir(), 0o700))
	if err := d.answers(t.Context()); err == nil {
		t.Error("nobody listens, and it is no error")
	}
	l, err := d.listen(t.Context())
	agenttest.Must(t, err)
	server := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	agenttest.Must(t, d.answers(t.Context()))
}
