package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// TestRows: a request belongs to the row that was open when it began, and a mark waits for those of its row only.
func TestRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newTally(nil)
		early := y.begin(false, "a:1", true)
		time.Sleep(30 * time.Millisecond)
		var first load.Report
		marked := make(chan struct{})
		go func() { first = y.mark(t.Context()); close(marked) }()
		synctest.Wait()
		late := y.begin(true, "b:1", false)
		select {
		case <-marked:
			t.Fatal("the mark did not wait for a request of its row")
		default:
		}
		time.Sleep(70 * time.Millisecond)
		early.end("", errors.New("reset"))
		<-marked
		want := load.Request{Target: "a:1", Took: 0.1, Error: "reset"}
		if first.At != 0.03 || first.New != (load.Kind{Requests: 1, Failed: 1, Connections: 1}) || first.Keep.Requests != 0 || !slices.Equal(first.Failures, []load.Request{want}) {
			t.Errorf("got %+v", first)
		}
		late.end("s1", nil)
		if second := y.mark(t.Context()); second.Keep != (load.Kind{Requests: 1, P50: 70, P99: 70}) || second.Servers["s1"] != 1 || second.Failed() != 0 {
			t.Errorf("got %+v", second)
		}
	})
}

func TestShare(t *testing.T) {
	t.Parallel()
	var all []float64
	for i := range 100 {
		all = append(all, float64(i+1))
	}
	if p50, p99, one := share(all, 0.5), share(all, 0.99), share(all[:1], 0.99); p50 != 50 || p99 != 99 || one != 1 {
		t.Errorf("got %v %v %v", p50, p99, one)
	}
}

// aServer runs the server until stop, which waits for its end.
func aServer(t *testing.T) (address string, stop func()) {
	t.Helper()
	free := listen(t)
	address = free.Addr().String()
	free.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, address) }()
	for ctx.Err() == nil { // until it listens
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", address); err == nil {
			c.Close()
			break
		}
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return address, stop
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// dialogue is a load that runs, as the tests on the lab talk to one.
func dialogue(t *testing.T, args ...string) (say func(word string) load.Report) {
	t.Helper()
	in, words := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(t.Context(), append([]string{"clients"}, args...), in, out); out.Close() }()
	t.Cleanup(func() {
		words.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	d := json.NewDecoder(answers)
	said := 0
	return func(word string) load.Report {
		t.Helper()
		said++
		if _, err := fmt.Fprintf(words, "%d %s\n", said, word); err != nil {
			t.Fatal(err)
		}
		var l load.Line
		if err := d.Decode(&l); err != nil || l.Answer == nil || l.Answer.Number != said {
			t.Fatalf("got %+v, %v", l, err)
		}
		return *l.Answer
	}
}

// TestAskAndServe: both kinds of clients are answered, each server has its share, source ports are few and are used again, and a target that
// is left is left by all.
func TestAskAndServe(t *testing.T) {
	t.Parallel()
	one, _ := aServer(t)
	two, stop := aServer(t)
	const clients, first = 5, 21000
	say := dialogue(t, "-new", fmt.Sprint(clients), "-keep", fmt.Sprint(clients), "-think", "5ms", "-each", "10", "-first-port", fmt.Sprint(first), one, two)
	sum := until(say, func(r load.Report) bool {
		return r.New.Requests > 10*clients*portsPerClient && r.Keep.Requests > 100
	})
	if sum.Failed() > 0 {
		t.Errorf("failed: %+v", sum.Failures)
	}
	if len(sum.Servers) != 2 || sum.New.Connections != sum.New.Requests || sum.Keep.Connections >= sum.Keep.Requests || sum.New.P99 == 0 {
		t.Errorf("got %+v", sum)
	}
	host, _ := os.Hostname()
	if say("to " + one); say("mark").Failed() > 0 {
		t.Error("requests failed by the change of targets")
	}
	stop() // nobody asks it
	sum = until(say, func(r load.Report) bool { return r.Requests() > 100 })
	if name := strings.Replace(one, "127.0.0.1", host, 1); sum.Failed() > 0 || len(sum.Servers) != 1 || sum.Servers[name] == 0 {
		t.Errorf("want answers of %s only, got %+v", name, sum)
	}
	if r := say("think never"); r.Error == "" {
		t.Errorf("never: %+v", r)
	}
	if r := say("think 1h"); r.Error != "" {
		t.Errorf("got %+v", r)
	}
	if r := say("sing"); r.Error == "" {
		t.Errorf("a word that nobody knows: %+v", r)
	}
}

func until(say func(string) load.Report, met func(load.Report) bool) (sum load.Report) {
	for !met(sum) {
		sum = sum.Plus(say(load.WordMark))
	}
	return sum
}

// TestServerEndsPolitely: what is under way is answered, with word that the connection ends.
func TestServerEndsPolitely(t *testing.T) {
	t.Parallel()
	address, stop := aServer(t)
	c, err := dial(t.Context(), address, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ask(t.Context(), "x", false); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := c.read.ReadByte(); err != io.EOF {
		t.Errorf("a connection that waits was to end, got %v", err)
	}
}

// TestServerDrains: it goes on answering new connections and old ones, and each of them ends with its next answer.
// Not parallel: the signal is for every server of this process.
func TestServerDrains(t *testing.T) {
	address, _ := aServer(t)
	old, err := dial(t.Context(), address, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := old.ask(t.Context(), "x", false); err != nil || old.asked >= closing {
		t.Fatalf("%v, asked %d", err, old.asked)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; { // the signal takes its time
		c, err := dial(t.Context(), address, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ask(t.Context(), "y", false); err != nil {
			t.Fatal(err)
		}
		ended = c.asked >= closing
		c.Close()
	}
	if _, err := old.ask(t.Context(), "z", false); err != nil || old.asked < closing {
		t.Errorf("the old connection does not end: %v", err)
	}
}

// TestWrongAnswers: each of them is a failure that says what it is.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		last   bool
		want   string
	}{
		"another's":       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ns y-2", false, "not the answer to x-1"},
		"a status":        {"HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\ns x-1\n", false, "status 502"},
		"cut short":       {"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\ns x-1\n", false, "a short answer: unexpected EOF"},
		"nothing":         {"", false, "no answer on a connection with 0 requests before: unexpected EOF"},
		"more than asked": {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ns x-1\nmore", true, "the connection does not end"},
		"right":           {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ns x-1\n", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := dial(t.Context(), answers(t, c.answer), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = conn.ask(t.Context(), "x-1", c.last)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// answers is a server that gives one answer to one request, and then closes.
func answers(t *testing.T, answer string) (address string) {
	t.Helper()
	l := listen(t)
	go func() {
		peer, err := l.Accept()
		if err != nil {
			return
		}
		defer peer.Close()
		if _, err := peer.Read(make([]byte, 1024)); err == nil {
			_, _ = io.WriteString(peer, answer)
		}
	}()
	return l.Addr().String()
}

// TestPatience: it ends what takes too long, and a machine that stands still does not.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := waiting{all: map[*wait]bool{}}
		ctx, stop := context.WithCancel(t.Context())
		go w.pass(ctx)
		one, done := w.within(ctx)
		defer done()
		time.Sleep(patience - step)
		synctest.Wait()
		if one.Err() != nil {
			t.Error("it has ended early")
		}
		time.Sleep(2 * step)
		synctest.Wait()
		if !errors.Is(context.Cause(one), errLate) {
			t.Errorf("it ends with %v", context.Cause(one))
		}
		stop()
		synctest.Wait()
		two, done := w.within(t.Context())
		defer done()
		time.Sleep(time.Hour) // nobody has time
		w.older()
		if two.Err() != nil {
			t.Error("standing still has made it older")
		}
	})
}

func TestPlans(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"-first-port", "65500", "a:1"}, {"-each", "0", "a:1"}, {"-think", "0", "a:1"}, {"-what", "a:1"}} {
		if _, err := parsePlan(args); err == nil {
			t.Errorf("no error: %v", args)
		}
	}
}
