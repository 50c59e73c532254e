package health

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestWhatCannotBeTriedSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, hosts, log := start(t, record(t, standard(), 2), 1, "")
		hosts.mu.Lock()
		hosts.fate = func(check compile.Check, _ time.Time) error {
			if check == endpoint(0) {
				return unix.ECONNREFUSED
			}
			return nil
		}
		hosts.mu.Unlock()
		<-c.Changed()
		before := c.Results()
		hosts.mu.Lock()
		hosts.fate = func(compile.Check, time.Time) error {
			return &notTriedError{errors.New("there is no network namespace")}
		}
		hosts.mu.Unlock()
		time.Sleep(150 * time.Second)
		synctest.Wait()
		after := c.Results()
		if after[endpoint(0)] != before[endpoint(0)] || after[endpoint(1)] != before[endpoint(1)] || !after[endpoint(0)].Failing {
			t.Errorf("before %v, after %v", before, after)
		}
		if n := log.count("no network namespace"); n < 1 || n > 3 {
			t.Errorf("it was logged %d times", n)
		}
	})
}

func TestChangesOfTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "health.json")
		how := standard()
		c, hosts, _ := start(t, record(t, how, 2), 1, file)
		hosts.mu.Lock()
		hosts.fate = func(compile.Check, time.Time) error { return unix.ECONNREFUSED }
		hosts.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(c.Failing()) != 2 {
			t.Fatalf("failing: %v", c.Failing())
		}
		how.Path, how.Type, how.Status, how.IntervalMillis = "/", mesh.CheckHTTP, "200", 3600_000
		c.Keep(record(t, how, 3), "n1")
		if f := c.Failing(); !f[endpoint(0)] || !f[endpoint(1)] || f[endpoint(2)] {
			t.Errorf("a definition that changes keeps its verdict, a new one passes: %v", f)
		}
		how.IntervalMillis = 5000
		c.Keep(record(t, how, 1), "n1")
		synctest.Wait()
		kept, err := parseKept(read(t, file))
		if r := c.Results(); err != nil || len(r) != 1 || len(kept) != 1 {
			t.Errorf("one that is gone is forgotten: %v, in the file %v, %v", r, kept, err)
		}
		hosts.mu.Lock()
		hosts.starts, hosts.fate = map[compile.Check][]time.Time{}, nil
		hosts.mu.Unlock()
		time.Sleep(how.Interval())
		synctest.Wait()
		hosts.mu.Lock()
		if len(hosts.starts) != 1 || len(hosts.starts[endpoint(0)]) == 0 {
			t.Errorf("checked within the interval: %v", hosts.starts)
		}
		hosts.mu.Unlock()
		c.Keep(nil, "")
		synctest.Wait()
		if len(c.Results())+len(c.Failing()) != 0 || len(c.queue) != 0 {
			t.Error("a host that is no node checks nobody")
		}
	})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return data
}

// TestARestartSendsNothingToWhoWasDown: the verdict is in the file before anybody
// hears of it, and holds from the first Keep of the next agent until rise checks
// have passed.
func TestARestartSendsNothingToWhoWasDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "health.json")
		c, hosts, _ := start(t, record(t, standard(), 3), 1, file)
		hosts.mu.Lock()
		hosts.fate = func(check compile.Check, _ time.Time) error {
			if check == endpoint(1) {
				return unix.ECONNREFUSED
			}
			return nil
		}
		hosts.mu.Unlock()
		for len(c.Failing()) == 0 {
			if _, err := os.Stat(file); err == nil {
				t.Fatal("written without a change")
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		info, err := os.Stat(file)
		must(t, err)
		if kept, err := parseKept(read(t, file)); err != nil || kept[endpoint(1)].Reason != "connection refused" || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v %v", kept, err, info.Mode())
		}
		next := New(Options{File: file, Log: slog.New(slog.DiscardHandler)})
		next.Keep(record(t, standard(), 3), "n1")
		if f := next.Failing(); len(f) != 1 || !f[endpoint(1)] {
			t.Errorf("the next agent begins with %v", f)
		}
		if r := next.Results()[endpoint(1)]; r != c.Results()[endpoint(1)] || r.Endpoint != "e1" {
			t.Errorf("%+v, was %+v", r, c.Results()[endpoint(1)])
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if later, err := os.Stat(file); err != nil || !os.SameFile(info, later) {
			t.Error("written again without a change")
		}
	})
}

func TestABrokenFileIsAsIfThereWereNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "health.json")
	log := &lockedBuffer{}
	for i, content := range []string{"", "{", `{"failing":[{"service":"web","address":"10.255.0.2:0","reason":"x"}]}`, `{"failing":[{"service":"","address":"10.255.0.2:80","reason":"x"}]}`} {
		must(t, os.WriteFile(file, []byte(content), 0o600))
		c := New(Options{File: file, Log: slog.New(slog.NewTextHandler(log, nil))})
		if c.Keep(record(t, standard(), 1), "n1"); len(c.Failing()) != 0 || log.count("cannot read which endpoints") != i+1 {
			t.Errorf("%q: %v", content, c.Failing())
		}
	}
}

func TestChangedIsGivenOnceForManyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, hosts, _ := start(t, record(t, standard(), 100), 1, "")
		hosts.mu.Lock()
		hosts.fate = silentFrom(time.Time{})
		hosts.mu.Unlock()
		time.Sleep(time.Minute)
		<-c.Changed()
		select {
		case <-c.Changed():
			t.Error("twice")
		default:
		}
		hosts.mu.Lock()
		hosts.fate = nil
		hosts.mu.Unlock()
		time.Sleep(time.Minute)
		<-c.Changed()
		if len(c.Failing()) != 0 {
			t.Errorf("still failing: %v", c.Failing())
		}
	})
}
