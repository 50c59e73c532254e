package main

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// TestMain makes this program the generator, too, when it is called for that.
func TestMain(m *testing.M) {
	if os.Getenv("BE_THE_GENERATOR") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func generator(t *testing.T, command string) *load.Generator {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(command)[1:]...)
	cmd.Env = append(os.Environ(), "BE_THE_GENERATOR=1")
	g, err := load.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	return g
}

func say(t *testing.T, g *load.Generator, words ...string) load.Report {
	t.Helper()
	r, err := g.Say(t.Context(), words...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestStarted_Probes is the faults' use of the program: what failed before the server was there is an outage, what follows is none; and the
// bench's, which sees each request.
func TestStarted_Probes(t *testing.T) {
	t.Parallel()
	free := listen(t)
	address := netip.MustParseAddrPort(free.Addr().String())
	free.Close()
	web := load.Target{Network: load.HTTP, Address: address, Every: 5 * time.Millisecond}
	failing := generator(t, load.Command("generator", false, web))
	begin := say(t, failing, load.WordMark)
	if err := failing.Await(t.Context(), func(all []load.Request) bool { return len(all) >= 3 }); err != nil {
		t.Fatal(err)
	}
	serves(t, "http", address.String())
	back := say(t, failing, load.WordServed)
	end := say(t, failing, load.WordMark)
	if o := load.Between(begin, end, failing.Requests(), web); o.Failed < 2 || o.Failed >= o.Asked || o.Seconds <= 0 || !strings.Contains(o.First, "refused") {
		t.Errorf("got %+v between %+v and %+v", o, begin, end)
	}
	if back.At >= end.At || end.Asked[web.Name()] <= begin.Asked[web.Name()] {
		t.Errorf("got %+v, then %+v", back, end)
	}
	all := generator(t, load.Command("generator", true, web))
	if err := all.Await(t.Context(), func(all []load.Request) bool { return len(all) >= 3 }); err != nil {
		t.Fatal(err)
	}
	all.Stop()
	if o := load.OutageOf(all.Requests(), web); o.Failed > 0 || o.Asked < 3 {
		t.Errorf("a load that ends is not an outage: %+v", o)
	}
}

// TestStarted_Clients is the serving tests' use of it.
func TestStarted_Clients(t *testing.T) {
	t.Parallel()
	address, _ := aServer(t)
	g := generator(t, "generator clients -new 2 -keep 2 -think 5ms -first-port 22000 "+address)
	r := until(func(word string) load.Report { return say(t, g, word) }, func(r load.Report) bool { return r.New.Requests > 3 && r.Keep.Requests > 3 })
	if r.Failed() > 0 || len(r.Servers) != 1 {
		t.Errorf("got %+v", r)
	}
	if r := say(t, g, load.WordTo, address); r.At == 0 {
		t.Errorf("got %+v", r)
	}
	if _, err := g.Say(t.Context(), load.WordServed); err == nil || !strings.Contains(err.Error(), "no such word") {
		t.Errorf("clients have no such word: %v", err)
	}
}
