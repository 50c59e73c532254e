package health

import (
	"bytes"
	"io"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// wire is an endpoint that has answered already.
type wire struct {
	io.Reader
	io.Writer
}

// FuzzAnswer: whatever an endpoint answers to a check, the check ends, and says why in
// plain words.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 500 \x1b[2J\r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &prober{userAgent: "x"}
		err := p.get(wire{bytes.NewReader(data), io.Discard}, &attempt{addr: netip.MustParseAddrPort("10.255.0.2:80"), definition: definition{how: mesh.HealthCheck{Type: mesh.CheckHTTP, Path: "/", Status: "200"}}})
		if err != nil && plain.Text(reason(err, 0)) != reason(err, 0) {
			t.Errorf("%q", reason(err, 0))
		}
	})
}
