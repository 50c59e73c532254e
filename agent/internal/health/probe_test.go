package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// here stands in for the mesh's namespace.
type here struct{}

func (here) InMesh(fn func() error) error { return fn() }

type spacesFunc func(fn func() error) error

func (s spacesFunc) InMesh(fn func() error) error { return s(fn) }

var loopback = netip.MustParseAddr("127.0.0.1")

func attemptOf(how mesh.HealthCheck, addr netip.AddrPort) attempt {
	return attempt{
		definition: definition{how, loopback}, addr: addr,
		target: &target{check: compile.Check{Service: "web", Addr: addr}},
	}
}

// outcome is the reason that a check of the address gives.
func outcome(t *testing.T, spaces Spaces, how mesh.HealthCheck, addr netip.AddrPort) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), how.Timeout())
	defer cancel()
	err := newProber(Options{Spaces: spaces, Version: "1.2.3"}).try(ctx, attemptOf(how, addr))
	return reason(err, how.Timeout()), err
}

func web(path string) mesh.HealthCheck {
	how := standard()
	how.Type, how.Path, how.Status, how.TimeoutMillis = mesh.CheckHTTP, path, mesh.DefaultCheckStatus, 5000
	return how
}

// addressOf is where a test server listens.
func addressOf(l net.Listener) netip.AddrPort {
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestHTTPChecks(t *testing.T) {
	var asked atomic.Value
	mux := http.NewServeMux()
	mux.HandleFunc("/fine", func(_ http.ResponseWriter, req *http.Request) {
		asked.Store(fmt.Sprintf("%s %s %s %s close=%v", req.Method, req.RequestURI, req.Host, req.UserAgent(), req.Close))
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, "/broken", http.StatusFound) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		for range 10 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return // it is not read to its end
			}
		}
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Much", strings.Repeat("x", 100<<10)) })
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	s := httptest.NewServer(mux)
	defer s.Close()
	addr := addressOf(s.Listener)

	named := web("/fine?full=%zz")
	named.Host = "www.example.com"
	only := web("/moved")
	only.Status = "200,204"
	short := web("/silent")
	short.TimeoutMillis = 150
	for _, tt := range []struct {
		name string
		how  mesh.HealthCheck
		want string
	}{
		{"an answer", named, ""},
		{"a redirect is not followed", web("/moved"), ""},
		{"a redirect is not what is expected", only, "status 302, not 200,204"},
		{"another status", web("/broken"), "status 500, not 200-399"},
		{"not found", web("/nothing"), "status 404, not 200-399"},
		{"hints before the answer", web("/hints"), ""},
		{"a long body", web("/large"), ""},
		{"a long header", web("/header"), "the header of its answer is longer than 64 KiB"},
		{"no answer", short, "no answer within 150ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := outcome(t, here{}, tt.how, addr); got != tt.want {
				t.Errorf("%q, want %q (%v)", got, tt.want, err)
			}
		})
	}
	if want := "GET /fine?full=%zz www.example.com routingmesh-agent/1.2.3 (health check) close=true"; asked.Load() != want {
		t.Errorf("asked %q, want %q", asked.Load(), want)
	}
}

func TestHTTPSChecks(t *testing.T) {
	var name atomic.Value
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { name.Store(req.TLS.ServerName + " " + req.Proto) }))
	defer s.Close()
	how := web("/")
	how.Type, how.Host = mesh.CheckHTTPS, "www.example.com:8443"
	if got, err := outcome(t, here{}, how, addressOf(s.Listener)); got != "" || name.Load() != "www.example.com HTTP/1.1" {
		t.Errorf("%q (%v), server name and protocol %q", got, err, name.Load())
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	if got, err := outcome(t, here{}, how, addressOf(plain.Listener)); got != "no TLS is spoken there" {
		t.Errorf("%q (%v)", got, err)
	}
}

// TestAnswersThatAreNone: what a process may do to who connects.
func TestAnswersThatAreNone(t *testing.T) {
	tests := []struct {
		name   string
		answer func(c *net.TCPConn)
		want   string
	}{
		{"closes", func(*net.TCPConn) {}, "connection closed without an answer"},
		{"resets", func(c *net.TCPConn) { _ = c.SetLinger(0) }, "connection reset"},
		{"is not a web server", func(c *net.TCPConn) { _, _ = c.Write([]byte("220 mail.example.com ESMTP\r\n")) }, "the answer is not HTTP"},
		{"closes in the header", func(c *net.TCPConn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nServer: x\r\n")) }, "connection closed without an answer"},
		{"never comes to an end", func(c *net.TCPConn) {
			for range 20 {
				_, _ = c.Write([]byte("HTTP/1.1 102 Processing\r\n\r\n"))
			}
		}, "the answer is not HTTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(c))
				if tcp, ok := c.(*net.TCPConn); ok {
					tt.answer(tcp)
				}
				c.Close()
			}()
			if got, err := outcome(t, here{}, web("/"), addressOf(l)); got != tt.want {
				t.Errorf("%q, want %q (%v)", got, tt.want, err)
			}
		})
	}
}

func TestTCPChecks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := addressOf(l)
	if got, err := outcome(t, here{}, standard(), addr); got != "" {
		t.Errorf("%q (%v)", got, err)
	}
	c, err := l.Accept()
	must(t, err)
	if from := netip.MustParseAddrPort(c.RemoteAddr().String()).Addr(); from != loopback {
		t.Errorf("it comes from %s", from)
	}
	c.Close()
	l.Close()
	if got, err := outcome(t, here{}, standard(), addr); got != "connection refused" {
		t.Errorf("%q (%v)", got, err)
	}
}

// BenchmarkCheck is what one check costs, with the server that it asks: in CPU time
// as a share of one core for a thousand endpoints every five seconds.
func BenchmarkCheck(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }))
	defer s.Close()
	for name, how := range map[string]mesh.HealthCheck{"tcp": standard(), "http": web("/")} {
		b.Run(name, func(b *testing.B) {
			p := newProber(Options{Spaces: here{}, Version: "1.2.3", Log: slog.New(slog.DiscardHandler)})
			var before, after unix.Rusage
			_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
			for b.Loop() {
				if err := p.try(b.Context(), attemptOf(how, addressOf(s.Listener))); err != nil {
					b.Fatal(err)
				}
			}
			_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
			used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			perCheck := time.Duration(used / int64(b.N))
			b.ReportMetric(float64(perCheck.Microseconds()), "cpu-µs/check")
			period := standard()
			b.ReportMetric(100*1000*perCheck.Seconds()/(period.Period().Seconds()*(1-(leastJitter+mostJitter)/2)), "%-of-a-core")
		})
	}
}
