package sshdial

import "testing"

// FuzzCheckTarget: what passes can be dialled, and its canonical form is that of
// itself; a host that passes is a target without user and port.
func FuzzCheckTarget(f *testing.F) {
	for _, s := range []string{"n1", "N1.example.com.", "root@n1:22", "[::1]", "[::1]:22", "::1", "ssh://n1", "n1 ", "a b@n1", "127.0.0.1:2401", "@", "", "fe80::1%eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		canonical, err := CheckTarget(s)
		if err == nil {
			if _, err := parseTarget(s); err != nil {
				t.Errorf("%q passes, and is no target: %v", s, err)
			}
			if again, err := CheckTarget(canonical); err != nil || again != canonical {
				t.Errorf("%q is spelled %q, which is spelled %q (%v)", s, canonical, again, err)
			}
		}
		if CheckHost(s) != nil {
			return
		}
		if got, err := parseTarget(s); err != nil || got != (target{host: s}) {
			t.Errorf("the host %q is the target %+v (%v)", s, got, err)
		}
	})
}
