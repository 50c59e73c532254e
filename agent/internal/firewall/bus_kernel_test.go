//go:build kernel

package firewall

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// privateBus is the address of a message bus of the test's own.
func privateBus(t *testing.T) string {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), daemon, "--session", "--nofork", "--nopidfile", "--print-address", "--address=unix:tmpdir="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// Any local user can emit signals under firewalld's path: those of firewalld alone count,
// also after it has been started again.
func TestSignals_OfOthers(t *testing.T) {
	address := privateBus(t)
	dial := func() *dbus.Conn {
		t.Helper()
		c, err := dbus.Connect(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	b := &bus{conn: dial()}
	signals, err := b.signals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := func() *dbus.Signal {
		t.Helper()
		for {
			select {
			case s := <-signals:
				if s.Name != "org.freedesktop.DBus.NameAcquired" { // of the connection itself
					return s
				}
			case <-time.After(time.Minute):
				t.Fatal("no signal")
			}
		}
	}
	emit := func(c *dbus.Conn, member string) {
		t.Helper()
		if err := c.Emit(busPath, busName+"."+member); err != nil {
			t.Fatal(err)
		}
	}
	other := dial()
	for range 2 {
		firewalld := dial()
		if _, err := firewalld.RequestName(busName, dbus.NameFlagDoNotQueue); err != nil {
			t.Fatal(err)
		}
		if s := next(); s.Name != ownerChanged {
			t.Errorf("%+v", s)
		}
		emit(other, "Reloaded")
		var here string // the bus has handled what the other one has sent
		if err := other.BusObject().Call("org.freedesktop.DBus.GetId", 0).Store(&here); err != nil {
			t.Fatal(err)
		}
		emit(firewalld, "Reloaded")
		if s := next(); s.Name != reloaded || s.Sender != firewalld.Names()[0] {
			t.Errorf("a signal of %s: %+v", s.Sender, s)
		}
		firewalld.Close()
		if s := next(); s.Name != ownerChanged {
			t.Errorf("%+v", s)
		}
	}
}
