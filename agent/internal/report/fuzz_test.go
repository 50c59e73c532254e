package report

import "testing"

// FuzzTraceArguments: what is taken as a port is written as it was, but for tcp and the
// address.
func FuzzTraceArguments(f *testing.F) {
	f.Add("8080", "192.0.2.7")
	f.Add("53/udp", "::ffff:192.0.2.7")
	f.Add("192.0.2.1:443/tcp", "")
	f.Add("/", "fe80::1%eth0")
	f.Fuzz(func(t *testing.T, port, from string) {
		key, at, err := portToTrace(nil, port)
		text := key.String()
		if at.IsValid() {
			text = at.String() + ":" + text
		}
		if err == nil && text != port && text != port+"/tcp" {
			t.Errorf("%q is read as %s", port, text)
		}
		if a, err := clientToTrace(from); err == nil && from != "" && !a.Is4() {
			t.Errorf("%q is read as %s", from, a)
		}
	})
}
