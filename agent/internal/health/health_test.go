package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// standard is the default check.
func standard() mesh.HealthCheck {
	return mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections}
}

// record has a service web on n1 with as many endpoints as asked for, each with a
// port of its own.
func record(t *testing.T, how mesh.HealthCheck, endpoints int) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("4f6e", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	must(t, rec.PutNode(&mesh.Node{Name: "n1", Address: netip.MustParseAddr("192.0.2.1")}))
	s := &mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{}, HealthCheck: &how}
	for i := range endpoints {
		s.Endpoints[fmt.Sprintf("e%d", i)] = mesh.Endpoint{Node: "n1", Port: uint16(1000 + i)}
	}
	must(t, rec.PutService(s))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	return rec
}

func endpoint(i int) compile.Check {
	return compile.Check{Service: "web", Addr: netip.AddrPortFrom(netip.MustParseAddr("10.255.0.2"), uint16(1000+i))}
}

// fakeHosts stand in for the endpoints.
type fakeHosts struct {
	mu     sync.Mutex
	fate   func(check compile.Check, at time.Time) error // nil: all answer at once
	starts map[compile.Check][]time.Time
	running,
	most int
}

// errSilent stands for no answer at all.
var errSilent = errors.New("silent")

func (f *fakeHosts) try(ctx context.Context, a attempt) error {
	now := time.Now()
	f.mu.Lock()
	f.starts[a.target.check] = append(f.starts[a.target.check], now)
	f.running++
	f.most = max(f.most, f.running)
	fate := f.fate
	f.mu.Unlock()
	var err error
	if fate != nil {
		err = fate(a.target.check, now)
	}
	if errors.Is(err, errSilent) {
		<-ctx.Done()
		err = ctx.Err()
	}
	f.mu.Lock()
	f.running--
	f.mu.Unlock()
	return err
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// start runs a Checker with fakes until the test ends; seed makes its chances.
func start(t *testing.T, rec *mesh.Record, seed uint64, file string) (*Checker, *fakeHosts, *lockedBuffer) {
	t.Helper()
	log := &lockedBuffer{}
	c := New(Options{File: file, Log: slog.New(slog.NewTextHandler(log, nil))})
	hosts := &fakeHosts{starts: map[compile.Check][]time.Time{}}
	c.try = hosts.try
	c.random = rand.New(rand.NewPCG(seed, 0)).Float64
	c.Keep(rec, "n1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		c.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return c, hosts, log
}

// silentFrom answers until a moment.
func silentFrom(from time.Time) func(compile.Check, time.Time) error {
	return func(_ compile.Check, at time.Time) error {
		if !at.Before(from) {
			return errSilent
		}
		return nil
	}
}

// definitions that are allowed, with the longest timeouts that are.
func someDefinition(random *rand.Rand) mesh.HealthCheck {
	how := standard()
	how.Fall = 1 + random.IntN(5)
	how.IntervalMillis = 200 + random.IntN(10_000)
	longest := min(how.IntervalMillis, how.Fall*how.IntervalMillis/2)
	how.TimeoutMillis = 1 + random.IntN(longest)
	if random.IntN(3) == 0 {
		how.TimeoutMillis = longest
	}
	return how
}

// TestASilentEndpointIsReportedInTime: whenever it goes silent, within interval ×
// fall.
func TestASilentEndpointIsReportedInTime(t *testing.T) {
	var slowest float64
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			how := someDefinition(random)
			c, hosts, _ := start(t, record(t, how, 1), seed, "")
			silent := time.Now().Add(time.Duration(random.Int64N(int64(5 * how.Interval()))))
			hosts.mu.Lock()
			hosts.fate = silentFrom(silent)
			hosts.mu.Unlock()
			<-c.Changed()
			took, most := time.Since(silent), how.Interval()*time.Duration(how.Fall)
			if !c.Failing()[endpoint(0)] || took > most {
				t.Errorf("seed %d, %+v: reported after %s, failing %v; want within %s", seed, how, took, c.Failing(), most)
			}
			slowest = max(slowest, took.Seconds()/most.Seconds())
			if want := "no answer within " + how.Timeout().String(); c.Results()[endpoint(0)].Reason != want {
				t.Errorf("the reason is %q, want %q", c.Results()[endpoint(0)].Reason, want)
			}
		})
	}
	t.Logf("the slowest took %.1f %% of interval × fall", 100*slowest)
}

// TestAWholeSiteThatGoesSilentIsReportedInTime: a thousand checks that wait for an
// answer do not keep each other from their turn.
func TestAWholeSiteThatGoesSilentIsReportedInTime(t *testing.T) {
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			const endpoints = 1000
			how := standard()
			c, hosts, log := start(t, record(t, how, endpoints), seed, "")
			time.Sleep(7 * time.Second) // of the test's own clock: all are in their rounds
			hosts.mu.Lock()
			hosts.fate = silentFrom(time.Now())
			hosts.mu.Unlock()
			time.Sleep(3 * how.Interval())
			synctest.Wait()
			if failing := len(c.Failing()); failing != endpoints {
				t.Errorf("%d of %d are reported within interval × fall; %d checks at the same time", failing, endpoints, hosts.most)
			}
			if log.count("level=WARN") > 0 {
				t.Error("a warning of nothing")
			}
		})
	}
}

// TestAFlatOutNodeStretchesAllChecksEvenly: more checks than may begin.
func TestAFlatOutNodeStretchesAllChecksEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const endpoints, seconds = 2000, 60
		how := standard()
		how.IntervalMillis, how.TimeoutMillis = 1000, 500
		rec := record(t, how, endpoints)
		c, hosts, log := start(t, rec, 1, "")
		begin := time.Now()
		time.Sleep(seconds * time.Second)
		c.Keep(rec, "n1")
		all, fewest, most := 0, seconds, 0
		perSecond := map[int]int{}
		hosts.mu.Lock()
		for _, starts := range hosts.starts {
			all, fewest, most = all+len(starts), min(fewest, len(starts)), max(most, len(starts))
			for _, at := range starts {
				perSecond[int(at.Sub(begin).Seconds())]++
			}
		}
		hosts.mu.Unlock()
		if len(hosts.starts) != endpoints || most-fewest > 2 {
			t.Errorf("%d were checked, each %d–%d times", len(hosts.starts), fewest, most)
		}
		for second, n := range perSecond {
			if n > maxStarts+startBurst {
				t.Errorf("%d checks began in second %d", n, second)
			}
		}
		if all < maxStarts*seconds*99/100 {
			t.Errorf("%d checks in %d s", all, seconds)
		}
		if n := log.count("more health checks than a node makes"); n != 1 {
			t.Errorf("%d warnings", n)
		}
	})
}

// TestChecksThatWaitAreBounded: of many silent ones with long timeouts.
func TestChecksThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		how := standard()
		how.TimeoutMillis = 5000
		_, hosts, log := start(t, record(t, how, 1600), 1, "")
		hosts.mu.Lock()
		hosts.fate = silentFrom(time.Time{})
		hosts.mu.Unlock()
		time.Sleep(time.Minute)
		hosts.mu.Lock()
		defer hosts.mu.Unlock()
		if hosts.most != inFlight() || log.count("wait for an answer") != 1 {
			t.Errorf("%d at the same time, %d warnings", hosts.most, log.count("wait for an answer"))
		}
	})
}

func TestChecksAreSpreadAndJittered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		how := standard()
		_, hosts, _ := start(t, record(t, how, 200), 1, "")
		begin := time.Now()
		time.Sleep(time.Minute)
		hosts.mu.Lock()
		defer hosts.mu.Unlock()
		early := 0
		for check, starts := range hosts.starts {
			if first := starts[0].Sub(begin); first > how.Period() {
				t.Errorf("%v: first check after %s", check, first)
			} else if first < how.Period()/2 {
				early++
			}
			for i := 1; i < len(starts); i++ {
				if gap := starts[i].Sub(starts[i-1]); gap > how.Period() || gap < how.Period()*89/100 {
					t.Errorf("%v: %s from one check to the next; the period is %s", check, gap, how.Period())
				}
			}
		}
		if early < 70 || early > 130 {
			t.Errorf("%d of 200 first checks in the first half of the period", early)
		}
	})
}

// TestWhatIsLateIsNotCaughtUpWith: checks that could not begin in time are not made
// one right after the other.
func TestWhatIsLateIsNotCaughtUpWith(t *testing.T) {
	how := standard()
	c := New(Options{Log: slog.New(slog.DiscardHandler)})
	c.Keep(record(t, how, 1), "n1")
	late := time.Now().Add(10 * how.Interval())
	if _, ok := c.begin(late); !ok {
		t.Fatal("it is due")
	}
	if next := c.queue[0].due.Sub(late); next < how.Period()*89/100 {
		t.Errorf("the next one begins after %s", next)
	}
}
