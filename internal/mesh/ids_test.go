package mesh

import "testing"

// FuzzIDs: what is read as an id is written as it was, import ids of users among them.
func FuzzIDs(f *testing.F) {
	for _, s := range []string{"demo/web/8080/tcp", "demo/n1", "demo/web/53/udp", "a//", "/", "demo/web/08/tcp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, service, k, err := SplitPortID(s); err == nil && PortID(ServiceID(c, service), k) != s {
			t.Errorf("%q is read as a port of %s/%s", s, c, service)
		}
		if c, name, err := SplitID(s); err == nil && NodeID(c, name) != s {
			t.Errorf("%q is read as %s/%s", s, c, name)
		}
		if r, err := ParsePortRange(s); err == nil && r.String() != s {
			t.Errorf("%q is read as %s", s, r)
		}
		if p, err := ParsePool(s); err == nil && p.String() != s {
			t.Errorf("%q is read as %s", s, p)
		}
		if a, err := ParseNodeAddress(s); err == nil && a.String() != s {
			t.Errorf("%q is read as %s", s, a)
		}
	})
}
