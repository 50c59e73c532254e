package firewall

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

// FuzzAnswers: sources of zones and errors are firewalld's own text.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"192.0.2.0/24", "192.0.2.1", "ipset:x", "00:11:22:33:44:55", "fe80::1%eth0", "ALREADY_ENABLED: x", "NOT_ENABLED", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := parseSource(s); ok && !p.IsValid() {
			t.Errorf("%q is read as %s", s, p)
		}
		err := dbus.Error{Name: "org.fedoraproject.FirewallD1.Exception", Body: []any{s}}
		_ = unlessCode(err, "ALREADY_ENABLED")
		_ = isGone(dbus.Error{Name: s})
	})
}
