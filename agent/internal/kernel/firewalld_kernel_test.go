//go:build kernel

package kernel

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// bus starts a message bus on an address, and returns what ends it.
func bus(t *testing.T, address string) (end func()) {
	t.Helper()
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address", "--address="+address)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it listens
		t.Fatal(err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// firewalld emits signals until the condition holds: who is to hear them may not
// have subscribed yet.
func firewalld(t *testing.T, address, signal string, heard func() bool) {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !heard() {
		if err := conn.Emit(firewalldPath, firewalldInterface+"."+signal); err != nil {
			t.Fatal(err)
		}
		select {
		case <-deadline:
			t.Fatalf("%s was not heard", signal)
		case <-tick.C:
		}
	}
}

func TestFirewalldsReloadIsHeardOnABusThatComesLateAndIsRestarted(t *testing.T) {
	address := "unix:path=" + filepath.Join(t.TempDir(), "bus")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	var heard atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watchFirewalld(ctx, 50*time.Millisecond, func() { heard.Add(1) })
	}()
	defer func() {
		cancel()
		<-ended
	}()
	for range 2 {
		before := heard.Load()
		end := bus(t, address)
		others := 0
		firewalld(t, address, "PanicModeEnabled", func() bool { others++; return others > 10 })
		if heard.Load() != before {
			t.Error("another signal was taken for a reload")
		}
		firewalld(t, address, firewalldReloaded, func() bool { return heard.Load() > before })
		last, calm := int64(0), 0
		waitFor(t, "all signals are heard", func() bool {
			if now := heard.Load(); now != last {
				last, calm = now, 0
			}
			calm++
			return calm > 30
		})
		end()
		waitFor(t, "the end of the bus counts as a reload", func() bool { return heard.Load() > last })
		_ = exec.Command("rm", "-f", strings.TrimPrefix(address, "unix:path=")).Run()
	}
}

func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatal(what)
		case <-tick.C:
		}
	}
}
