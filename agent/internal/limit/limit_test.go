package limit

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
)

const maxConnections, maxPerSource = 512, 128

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pipes hands out connections of a source.
type pipes struct{ source string }

type pipe struct {
	net.Conn
	source string
}

func (p pipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(p.source), Port: 1} }

func (p *pipes) Accept() (net.Conn, error) {
	_, c := net.Pipe()
	return pipe{c, p.source}, nil
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// What is counted is what is open, and who loses a connection is who has most.
func TestLimited(t *testing.T) {
	source := &pipes{}
	l := newLimited(source, maxConnections, maxPerSource)
	accept := func(from string, n int) (conns []net.Conn) {
		source.source = from
		for range n {
			c, err := l.Accept()
			must(t, err)
			conns = append(conns, c)
		}
		return conns
	}
	has := func(from string) int { return len(l.bySource[netip.MustParseAddr(from)]) }
	small := accept("192.0.2.1", 2)
	spoke := accept("192.0.2.2", 1)[0].(*limitedConn)
	spoke.said.Store(true)
	accept("192.0.2.2", 1000)
	if has("192.0.2.2") != maxPerSource || l.total != maxPerSource+2 {
		t.Errorf("%d of one source, %d in all", has("192.0.2.2"), l.total)
	}
	if l.bySource[spoke.source][0] != spoke {
		t.Error("one that has sent something went before those that have not")
	}
	for i := range 10 {
		accept(fmt.Sprintf("192.0.3.%d", i), 60)
	}
	if l.total != maxConnections || has("192.0.2.1") != 2 {
		t.Errorf("%d in all, %d of the source with few", l.total, has("192.0.2.1"))
	}
	for _, c := range append(small, small...) { // Close twice, as http.Server may
		c.Close()
	}
	if l.total != maxConnections-2 || has("192.0.2.1") != 0 {
		t.Errorf("%d in all after a close", l.total)
	}
}
