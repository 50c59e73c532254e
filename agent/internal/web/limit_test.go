package web

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// from returns a client with an address of its own.
func from(source string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	return &http.Client{Timeout: time.Minute, // a place in a queue behind a thousand would take longer
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
}

// connect opens connections from one source and sends the same over each.
func connect(t *testing.T, source, to, say string, n int) []net.Conn {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := dialer.DialContext(t.Context(), "tcp", to)
		must(t, err)
		t.Cleanup(func() { c.Close() })
		_, _ = io.WriteString(c, say) // it may be closed by now
		conns[i] = c
	}
	return conns
}

// A client with a thousand connections, whatever it does with them, costs nobody
// else an answer.
func TestListener_OneClientOfThousandConnections(t *testing.T) {
	w := measured()
	w.warnings = nil
	for i := range 2500 { // more than a socket's buffers take
		w.counters.Ports[0].Endpoints = append(w.counters.Ports[0].Endpoints, mesh.EndpointCounters{
			Endpoint: fmt.Sprintf("e%d", i), Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 254, byte(i >> 8), byte(i)}), 80),
		})
	}
	w.stats.Applied = w.stats.Generation
	f, d := newFront(t, w)
	f.Follow(record(t, func(rec *mesh.Record) { rec.Cluster.MetricsAddress = metricsAt }), "n1")
	for _, tt := range []struct{ name, at, path, say string }{
		{"idle", healthAt, "/healthz", ""},
		{"slow header", healthAt, "/healthz", "GET /healthz HTTP/1.1\r\nX: "},
		{"idle at metrics", metricsAt, "/metrics", ""},
		{"slow reader", metricsAt, "/metrics", "GET /metrics HTTP/1.0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := d.address(t, tt.at)
			connect(t, "127.0.0.66", to, tt.say, 1000)
			for i := range 5 {
				source := fmt.Sprintf("127.0.0.%d", 2+i%3)
				resp, err := from(source).Get("http://" + to + tt.path)
				if err != nil {
					t.Fatalf("request %d: %v", i, err)
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("request %d: %s, %v", i, resp.Status, err)
				}
			}
			// Nor does it lock itself out.
			if resp, err := from("127.0.0.66").Get("http://" + to + tt.path); err != nil {
				t.Error(err)
			} else {
				resp.Body.Close()
			}
		})
	}
}

// Many clients together take places from each other, not from one that has few.
func TestListener_ManyClients(t *testing.T) {
	f, d := newFront(t, applied())
	f.Follow(record(t, nil), "n1")
	to := d.address(t, healthAt)
	mine := connect(t, "127.0.0.2", to, "GET /healthz HTTP/1.1\r\n", 1)[0]
	for i := range 8 {
		connect(t, fmt.Sprintf("127.0.1.%d", i+1), to, "", maxPerSource)
	}
	_, err := io.WriteString(mine, "Host: x\r\n\r\n")
	must(t, err)
	must(t, mine.SetReadDeadline(time.Now().Add(5*time.Second)))
	answer, err := io.ReadAll(mine)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK") {
		t.Errorf("%q, %v", answer, err)
	}
}

// Over the network the kernel is read once a second, however many ask.
func TestMetrics_ReadOnceForAll(t *testing.T) {
	var reads atomic.Int32
	page := &shared{of: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		reads.Add(1)
		w.Header().Set("Content-Encoding", req.Header.Get("Accept-Encoding"))
		_, _ = io.WriteString(w, "metrics")
	})}
	for range 100 {
		for _, encoding := range []string{"", "gzip", "br, gzip"} {
			w := &recorder{header: http.Header{}}
			page.ServeHTTP(w, &http.Request{Header: http.Header{"Accept-Encoding": {encoding}}})
			if got := w.header.Get("Content-Encoding"); w.body.String() != "metrics" || (got == "gzip") != strings.Contains(encoding, "gzip") {
				t.Fatalf("%q: %q, %q", encoding, got, w.body.String())
			}
		}
	}
	if n := reads.Load(); n > 4 { // two, or four where a second has passed meanwhile
		t.Errorf("%d reads", n)
	}
}
