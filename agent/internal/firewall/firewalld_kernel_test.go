//go:build kernel

package firewall

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// mended waits until something is missing, and has it put there.
func (w *world) mended(after string) {
	w.Helper()
	w.until("something is missing after "+after, func() bool { return w.f.Check().Fault != "" })
	if err := w.f.Mend(w.Context()); err != nil {
		w.Fatal(err)
	}
	if fault := w.f.Check().Fault; fault != "" {
		w.Errorf("after %s and a repair: firewalld %s", after, fault)
	}
}

// told is what firewalld has of the mesh in a zone, and the zone of rmesh0.
func (w *world) told(zone string) string {
	w.Helper()
	return w.sh(fmt.Sprintf("firewall-cmd --zone=%s --list-rich-rules | sort; firewall-cmd --get-zone-of-interface=rmesh0 2>&1 || true", zone))
}

func (w *world) want(zone string, rules ...string) {
	w.Helper()
	if got, want := w.told(zone), strings.Join(rules, "\n"); got != want {
		w.Errorf("firewalld has in zone %s:\n%s\nwant:\n%s", zone, got, want)
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
	w.sh("firewall-cmd --set-default-zone=public; firewall-cmd --add-rich-rule='" + r3 + "'") // what was there before
	w.mended("a start")
	w.want("public", r2, r3, "trusted")
	t.Run("reload", func(*testing.T) {
		before := w.changed.Load()
		w.sh("firewall-cmd --reload; firewall-cmd --add-rich-rule='" + r3 + "'")
		w.mended("a reload")
		w.want("public", r2, r3, "trusted")
		w.until("the host is looked at once more", func() bool { return w.changed.Load() >= before+2 })
	})
	t.Run("another default zone", func(*testing.T) {
		w.sh("firewall-cmd --set-default-zone=drop")
		w.mended("a change of the default zone")
		w.want("drop", r2, r3, "trusted")
		w.sh("firewall-cmd --set-default-zone=public")
		w.mended("its end")
		w.want("drop", "trusted")
		w.want("public", r2, r3, "trusted")
	})
	t.Run("panic", func(t *testing.T) {
		w.sh("firewall-cmd --panic-on")
		w.until("panic mode is seen", func() bool { return len(w.f.Warnings()) == 1 })
		if warning := w.f.Warnings()[0]; !warning.AllTraffic || !strings.Contains(warning.Text, "firewall-cmd --panic-off") || w.f.Check().Fault != "" {
			t.Errorf("in panic mode: %v, fault %q", warning, w.f.Check().Fault)
		}
		w.sh("firewall-cmd --panic-off")
		w.until("its end is seen", func() bool { return len(w.f.Warnings()) == 0 })
	})
	t.Run("report", func(t *testing.T) { w.reports(t, r3) })
	t.Run("leave", func(t *testing.T) {
		w.f.Keep(w.rec, "n1")
		w.mended("manage again")
		if n, err := w.f.Leave(t.Context()); err != nil || n != 2 {
			t.Errorf("took back %d, %v; want the rule for n2 and rmesh0's zone", n, err)
		}
		w.want("public", r3, "no zone")
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
	w.mended("report")
	w.want("public", kept, "no zone")
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
	w.sh("firewall-cmd --reload; firewall-cmd --add-rich-rule='" + kept + "'")
}
