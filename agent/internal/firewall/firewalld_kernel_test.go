//go:build kernel

package firewall

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// world is a node whose firewalld is a real one, and a Firewalld that follows it.
type world struct {
	*testing.T
	f       *Firewalld
	rec     *mesh.Record
	changed atomic.Int64
}

func (w *world) sh(command string) string {
	w.Helper()
	out, err := exec.CommandContext(w.Context(), "sh", "-c", command).CombinedOutput()
	if err != nil {
		w.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *world) until(what string, so func() bool) {
	w.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !so() {
		if time.Now().After(deadline) {
			w.Fatalf("waited in vain until %s; fault %q, warnings %v", what, w.f.Check().Fault, w.f.Warnings())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// repaired waits until something is missing, and has it put there.
func (w *world) repaired(after string) {
	w.Helper()
	w.until("something is missing after "+after, func() bool { return w.f.Check().Fault != "" })
	// one repair gives up after callTime, which an emulated firewalld may need; the agent tries again as well
	w.until("a repair succeeds after "+after, func() bool { return w.f.Repair(w.Context()) == nil })
	if fault := w.f.Check().Fault; fault != "" {
		w.Errorf("after %s and a repair: firewalld %s", after, fault)
	}
}

// do calls a method of firewalld, as firewall-cmd would.
func (w *world) do(method string, args ...any) {
	w.Helper()
	b, err := connect(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	defer b.close()
	if err := b.call(w.Context(), busPath, method, nil, args...); err != nil {
		w.Fatalf("%s: %v", method, err)
	}
}

func (w *world) addRule(zone, rule string) {
	w.Helper()
	w.do(busZone+".addRichRule", zone, rule, int32(0))
}

// want asks firewalld for the rules of a zone, and for the zone of rmesh0.
func (w *world) want(zone, link string, rules ...string) {
	w.Helper()
	b, err := connect(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	defer b.close()
	var got []string
	var gotLink string
	if err := errors.Join(b.zone(w.Context(), "getRichRules", &got, zone), b.zone(w.Context(), "getZoneOfInterface", &gotLink, "rmesh0")); err != nil {
		w.Fatal(err)
	}
	slices.Sort(got)
	if !slices.Equal(got, rules) || gotLink != link {
		w.Errorf("firewalld has in zone %s %q, and rmesh0 in zone %q; want %q and %q", zone, got, gotLink, rules, link)
	}
}

const firewalldHere = "systemctl start firewalld"

// TestFirewalld is one story, for its start takes long: firewalld comes after the
// mesh, forgets what it was told, panics, is not to be touched, and is left as found.
func TestFirewalld(t *testing.T) {
	w := &world{T: t, rec: record()}
	w.sh("systemctl stop firewalld")
	w.f = New(t.Context(), Options{Originals: memory{}, Log: slog.New(slog.DiscardHandler), Changed: func() { w.changed.Add(1) }, retry: 100 * time.Millisecond})
	w.f.Keep(w.rec, "n1")
	if fault := w.f.Check().Fault; fault != "" {
		t.Fatalf("a host where firewalld does not run: %s", fault)
	}
	ran := make(chan struct{})
	go func() { w.f.Run(t.Context()); close(ran) }()
	w.sh(firewalldHere)
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", "firewalld").Run() })
	r2, r3 := acceptVXLAN(netip.MustParseAddr("192.0.2.2"), 4789), acceptVXLAN(netip.MustParseAddr("192.0.2.3"), 4789)
	w.until("firewalld answers", func() bool { f := New(t.Context(), w.f.Options); return f.seen.running })
	w.addRule("public", r3) // what was there before
	w.repaired("a start")
	w.want("public", trusted, r2, r3)
	t.Run("reload", func(*testing.T) {
		before := w.changed.Load()
		w.do(busName + ".reload")
		w.addRule("public", r3)
		w.repaired("a reload")
		w.want("public", trusted, r2, r3)
		w.until("the host is looked at once more", func() bool { return w.changed.Load() >= before+2 })
	})
	t.Run("another default zone", func(*testing.T) {
		w.do(busName+".setDefaultZone", "internal")
		w.repaired("a change of the default zone")
		w.want("internal", trusted, r2, r3)
		w.do(busName+".setDefaultZone", "public")
		w.repaired("its end")
		w.want("internal", trusted)
		w.want("public", trusted, r2, r3)
	})
	t.Run("panic", func(t *testing.T) {
		w.do(busName + ".enablePanicMode")
		w.until("panic mode is seen", func() bool { return len(w.f.Warnings()) == 1 })
		if warning := w.f.Warnings()[0]; !warning.AllTraffic || !strings.Contains(warning.Text, "firewall-cmd --panic-off") || w.f.Check().Fault != "" {
			t.Errorf("in panic mode: %v, fault %q", warning, w.f.Check().Fault)
		}
		w.do(busName + ".disablePanicMode")
		w.until("its end is seen", func() bool { return len(w.f.Warnings()) == 0 })
	})
	t.Run("report", func(t *testing.T) { w.reports(t, r3) })
	t.Run("leave", func(t *testing.T) {
		w.f.Keep(w.rec, "n1")
		w.repaired("manage again")
		if n, err := w.f.Leave(t.Context()); err != nil || n != 2 {
			t.Errorf("took back %d, %v; want the rule for n2 and rmesh0's zone", n, err)
		}
		w.want("public", "", r3)
		if _, noted := w.f.Originals.Get(noteName); noted {
			t.Error("a note is left")
		}
	})
}

// reports changes nothing, and says which commands make it well.
func (w *world) reports(t *testing.T, kept string) {
	report := record()
	report.Cluster.Firewall = mesh.FirewallReport
	w.f.Keep(report, "n1")
	w.repaired("report")
	w.want("public", "", kept)
	warnings := w.f.Warnings()
	if len(warnings) != 1 {
		t.Fatalf("warnings: %v", warnings)
	}
	for i, part := range strings.Split(warnings[0].Text, "`") {
		if i%2 == 1 && !strings.Contains(part, "--permanent") {
			w.sh(part)
		}
	}
	w.until("the warning ends", func() bool { return len(w.f.Warnings()) == 0 })
	if fault := w.f.Check().Fault; fault != "" {
		t.Errorf("with what the user has added: firewalld %s", fault)
	}
	w.do(busName + ".reload")
	w.addRule("public", kept)
}

// startBus starts a message bus on an address, and returns what ends it.
func startBus(t *testing.T, address string) (end func()) {
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

// TestRun_BusRestarts: a reload is heard on a bus that comes late and is restarted,
// other signals are not taken for one, and the end of the bus counts as one.
func TestRun_BusRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+path)
	w := &world{T: t}
	w.f = New(t.Context(), Options{Originals: memory{}, Log: slog.New(slog.DiscardHandler), Changed: func() { w.changed.Add(1) }, retry: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.f.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	for range 2 {
		end := startBus(t, "unix:path="+path)
		firewalld := w.firewalld()
		before := w.changed.Load()
		w.until("a reload is heard", func() bool { // nobody may have subscribed yet
			w.emit(firewalld, "Reloaded")
			return w.changed.Load() > before
		})
		last := w.settled()
		for range 10 {
			w.emit(firewalld, "PanicModeEnabled")
		}
		if w.settled() != last {
			t.Error("another signal was taken for a reload")
		}
		end()
		firewalld.close()
		w.until("the end of the bus counts as a reload", func() bool { return w.changed.Load() > last })
		_ = os.Remove(path)
	}
}

// firewalld is a connection to the bus that has firewalld's name there.
func (w *world) firewalld() *bus {
	w.Helper()
	b, err := connect(w.Context())
	if err == nil {
		_, err = b.conn.RequestName(busName, dbus.NameFlagDoNotQueue)
	}
	if err != nil {
		w.Fatal(err)
	}
	return b
}

// settled is how many changes there were once no more of them come: some come afterwards.
func (w *world) settled() int64 {
	w.Helper()
	last, since := w.changed.Load(), time.Now()
	w.until("nothing changes any more", func() bool {
		if now := w.changed.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > afterwards+time.Second
	})
	return last
}

func (w *world) emit(b *bus, signal string) {
	w.Helper()
	if err := b.conn.Emit(busPath, busName+"."+signal); err != nil {
		w.Fatal(err)
	}
}
