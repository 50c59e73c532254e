package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/faults"
)

var target = faults.Target{Network: "tcp", Address: netip.MustParseAddrPort("192.0.2.1:80"), Every: time.Second}

// TestWords: a mark waits for what was under way, served for answers to what was asked after it.
func TestWords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		a := newAsker([]faults.Target{target}, &out)
		ask := func(err error) {
			id, at := a.begin(target)
			time.Sleep(time.Millisecond)
			a.end(target, id, at, err)
		}
		id, at := a.begin(target)
		time.Sleep(time.Millisecond)
		go a.answer(t.Context(), faults.WordMark)
		synctest.Wait()
		if out.Len() > 0 {
			t.Errorf("a mark did not wait: %s", &out)
		}
		a.end(target, id, at, io.EOF)
		synctest.Wait()
		if got := said(t, &out); len(got) != 2 || got[0].Error != "EOF" || got[0].Target != target.Name() || got[1].Word != faults.WordMark || got[1].Asked[target.Name()] != 1 {
			t.Errorf("got %+v", got)
		}
		for range faults.Settled { // of before
			ask(nil)
		}
		time.Sleep(time.Millisecond)
		go a.answer(t.Context(), faults.WordServed)
		synctest.Wait()
		for i := range 2*faults.Settled - 1 {
			var err error
			if i == faults.Settled-1 { // the row is broken by its last one
				err = io.EOF
			}
			ask(err)
			synctest.Wait()
			if bytes.Contains(out.Bytes(), []byte(faults.WordServed)) {
				t.Fatalf("served after %d requests", i)
			}
		}
		ask(nil)
		synctest.Wait()
		if got := said(t, &out); got[len(got)-1].Word != faults.WordServed {
			t.Errorf("got %+v", got)
		}
		a.answer(t.Context(), "sing")
		if got := said(t, &out); got[len(got)-1].Error == "" {
			t.Errorf("a word that nobody knows: %+v", got)
		}
	})
}

func said(t *testing.T, out *bytes.Buffer) (all []faults.Report) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(out.Bytes()))
	for d.More() {
		var r faults.Report
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// TestServeAndAsk asks the server, over both protocols, and a port where nobody listens.
func TestServeAndAsk(t *testing.T) {
	t.Parallel()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddrPort(free.Addr().String())
	free.Close()
	tcp, udp := faults.Target{Network: "tcp", Address: address, Every: time.Millisecond}, faults.Target{Network: "udp", Address: address, Every: time.Millisecond}
	if err := request(t.Context(), tcp); err == nil {
		t.Error("nobody listens, and somebody answered")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() { _ = serve(ctx, address.String()) })
	in, words := io.Pipe()
	answers, out := io.Pipe()
	served.Go(func() {
		if err := run(ctx, []string{"ask", tcp.String(), udp.String()}, in, out); err != nil {
			t.Error(err)
		}
		out.Close()
	})
	if _, err := io.WriteString(words, faults.WordServed+"\n"); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(answers)
	for {
		var r faults.Report
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.Word == faults.WordServed {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, answers) }()
	words.Close()
	cancel()
	served.Wait()
	if err := run(t.Context(), []string{"ask"}, nil, nil); err == nil {
		t.Error("no error without a target")
	}
}
