package report

import "testing"

// FuzzTraceArguments: what is taken as a port is written as it was, but for tcp.
func FuzzTraceArguments(f *testing.F) {
	f.Add("8080", "192.0.2.7")
	f.Add("53/udp", "::ffff:192.0.2.7")
	f.Add("/", "fe80::1%eth0")
	f.Fuzz(func(t *testing.T, port, from string) {
		if key, err := portToTrace(nil, port); err == nil && key.String() != port && key.String() != port+"/tcp" {
			t.Errorf("%q is read as %s", port, key)
		}
		if a, err := clientToTrace(from); err == nil && from != "" && !a.Is4() {
			t.Errorf("%q is read as %s", from, a)
		}
	})
}
