package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

var target = load.Target{Network: load.TCP, Address: netip.MustParseAddrPort("192.0.2.1:80"), Every: time.Second}

// TestWords_Probes: a mark waits for what was under way, served for answers to what was asked after it.
func TestWords_Probes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProbes([]load.Target{target}, false, &output{json: json.NewEncoder(&out)})
		ask := func(err error) {
			r := p.tally.begin(false, target.Name(), true)
			time.Sleep(time.Millisecond)
			r.end("", err)
		}
		say := func(answer func() load.Report) *load.Report {
			var r load.Report
			go func() { r = answer(); r.Word = "answered" }()
			synctest.Wait()
			return &r
		}
		under := p.tally.begin(false, target.Name(), true)
		time.Sleep(time.Millisecond)
		mark := say(func() load.Report { return p.tally.mark(t.Context()) })
		if mark.Word != "" {
			t.Errorf("a mark did not wait: %+v", mark)
		}
		under.end("", io.EOF)
		synctest.Wait()
		if got := shown(t, &out); len(got) != 1 || got[0].Error != "EOF" || got[0].Target != target.Name() {
			t.Errorf("got %+v", got)
		}
		if mark.Word == "" || mark.Asked[target.Name()] != 1 || mark.New.Failed != 1 || mark.Failures != nil {
			t.Errorf("got %+v", mark)
		}
		for range load.Settled { // of before
			ask(nil)
		}
		time.Sleep(time.Millisecond)
		served := say(func() load.Report { return p.tally.served(t.Context(), p.targets) })
		for i := range 2*load.Settled - 1 {
			var err error
			if i == load.Settled-1 { // the streak is broken by its last one
				err = io.EOF
			}
			ask(err)
			synctest.Wait()
			if served.Word != "" {
				t.Fatalf("served after %d requests", i)
			}
		}
		ask(nil)
		synctest.Wait()
		if served.Word == "" || served.Asked[target.Name()] != 1+3*load.Settled {
			t.Errorf("got %+v", served)
		}
	})
}

// TestServed_UnderWay: an answer to what was asked before the word says nothing of now.
func TestServed_UnderWay(t *testing.T) {
	t.Parallel()
	y := newTally(nil)
	old := y.begin(false, target.Name(), true)
	last := y.began
	for range load.Settled {
		y.begin(false, target.Name(), true).end("", nil)
	}
	targets := []load.Target{target}
	if y.servedAfter(last, targets) {
		t.Error("served while a request from before is under way")
	}
	old.end("", nil)
	if !y.servedAfter(last, targets) || y.servedAfter(y.began, targets) {
		t.Error("the answers after the word are the ones that count")
	}
}

func shown(t *testing.T, out *bytes.Buffer) (all []load.Request) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(out.Bytes()))
	for d.More() {
		var l load.Line
		if err := d.Decode(&l); err != nil || l.Request == nil {
			t.Fatalf("got %+v, %v", l, err)
		}
		all = append(all, *l.Request)
	}
	return all
}

// prober is a run of probes; served returns their requests up to the answer to that word.
func prober(t *testing.T, args ...string) (served func() []load.Request) {
	t.Helper()
	in, words := io.Pipe()
	answers, out := io.Pipe()
	var ran sync.WaitGroup
	ran.Go(func() {
		if err := run(t.Context(), append([]string{"probe"}, args...), in, out); err != nil {
			t.Error(err)
		}
		out.Close()
	})
	d := json.NewDecoder(answers)
	t.Cleanup(func() {
		words.Close()
		for d.More() { // so that it can end
			if err := d.Decode(&load.Line{}); err != nil {
				t.Error(err)
			}
		}
		ran.Wait()
	})
	return func() (all []load.Request) {
		t.Helper()
		if _, err := fmt.Fprintln(words, "7", load.WordServed); err != nil {
			t.Fatal(err)
		}
		for {
			var l load.Line
			if err := d.Decode(&l); err != nil {
				t.Fatal(err)
			}
			if l.Answer != nil {
				if l.Answer.Word != load.WordServed || l.Answer.Number != 7 || l.Answer.Error != "" {
					t.Errorf("got %+v", l.Answer)
				}
				return all
			}
			all = append(all, *l.Request)
		}
	}
}

// serves starts a server, which ends with the test.
func serves(t *testing.T, protocol, address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() { _ = run(ctx, []string{"serve", protocol, address}, nil, nil) })
	t.Cleanup(func() { cancel(); served.Wait() })
}

// TestServeName_Probed asks the server, over both protocols, and a port where nobody listens.
func TestServeName_Probed(t *testing.T) {
	t.Parallel()
	free := listen(t)
	address := netip.MustParseAddrPort(free.Addr().String())
	free.Close()
	tcp, udp := load.Target{Network: load.TCP, Address: address, Every: time.Millisecond}, load.Target{Network: load.UDP, Address: address, Every: time.Millisecond}
	if err := probe(t.Context(), tcp); err == nil {
		t.Error("nobody listens, and somebody answered")
	}
	serves(t, "name", address.String())
	for _, r := range prober(t, tcp.String(), udp.String())() { // it begins before the server
		if !r.Failed() {
			t.Errorf("%+v was answered, and is shown", r)
		}
	}
}

// TestProbe_HTTP: a page is an answer, whichever server it is from; a status, a cut page and silence are none.
func TestProbe_HTTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, want string }{
		"a page":       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ""},
		"more follows": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi there", ""},
		"a status":     {"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\nhi", "status 502"},
		"cut short":    {"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nhi", "a short answer: unexpected EOF"},
		"nothing":      {"", "no answer on a connection with 0 requests before: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := answers(t, c.answer)
			err := probe(t.Context(), load.Target{Network: load.HTTP, Address: netip.MustParseAddrPort(address)})
			if err == nil && c.want != "" || err != nil && err.Error() != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	address, _ := aServer(t)
	web := load.Target{Network: load.HTTP, Address: netip.MustParseAddrPort(address), Every: time.Millisecond}
	if all := prober(t, "-all", web.String())(); len(all) < load.Settled {
		t.Errorf("want every request, got %+v", all)
	}
}

// TestProbe_Late: a probe ends by the clock.
func TestProbe_Late(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		ctx, cancel := context.WithTimeout(t.Context(), load.Patience)
		defer cancel()
		start := time.Now()
		err := probeOn(ctx, ours, target)
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != load.Patience {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

// TestRun_WrongArguments: each of them is an error.
func TestRun_WrongArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"serve"}, {"serve", "gopher", "127.0.0.1:0"}, {"clients"}, {"probe"}, {"probe", "-all"}, {"probe", "tcp"}, {"sing"}} {
		if err := run(t.Context(), args, nil, nil); err == nil {
			t.Errorf("no error: %v", args)
		}
	}
	if err := (words{}).answer(strings.NewReader("mark\n"), nil); err == nil {
		t.Error("no error of a word without a number")
	}
}
