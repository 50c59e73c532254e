package resolver

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
)

var bothSockets = []string{streamName, datagramName}

// TestRestart_NoQueryIsLost: 1,000 queries, one every millisecond, over three restarts of the
// agent between which there is a while without one.
func TestRestart_NoQueryIsLost(t *testing.T) {
	t.Parallel()
	const queries = 1000
	w := newWorld(t)
	w.nameserver("127.0.1.53")
	w.upstreams("127.0.1.53")
	w.follow()
	w.open()
	conn := w.dial("udp", slotA)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for id := range uint16(queries) {
			<-tick.C
			name := "web."
			if id%4 == 0 {
				name = "example.com."
			}
			if _, err := conn.Write(request(t, id, name, dnsmessage.TypeA, 0)); err != nil {
				t.Error(err)
			}
		}
	}()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		readAll(t, conn, queries)
	}()
	for range 3 {
		before := w.stats.outcomes[0].Load()
		eventually(t, "some are answered", func() bool { return w.stats.outcomes[0].Load() > before+50 })
		ctx, cancel := context.WithTimeout(t.Context(), waitFor)
		w.Close(ctx)
		cancel()
		tcp := w.dial("tcp", slotA) // waits in the backlog
		must(t, writeStream(tcp, request(t, 7, "web.", dnsmessage.TypeA, 0)))
		w.start(w.store.handOut(t))
		w.follow()
		answer, err := readStream(tcp)
		must(t, err)
		if got := show(t, answer); got != "Success 127.255.255.2" {
			t.Errorf("over TCP: %q", got)
		}
	}
	<-sent
	<-answered
	if got := w.store.names(); !slices.Equal(got, bothSockets) {
		t.Errorf("stored are %v", got)
	}
}

// readAll reads the answers to as many queries, numbered from 0.
func readAll(t *testing.T, conn net.Conn, queries int) {
	missing := map[uint16]bool{}
	for id := range uint16(queries) {
		missing[id] = true
	}
	buf := make([]byte, maxMessage)
	for len(missing) > 0 {
		n, err := conn.Read(buf)
		if err != nil {
			t.Errorf("%d were not answered: %v", len(missing), err)
			return
		}
		if rcodeOf(buf[:n]) != dnsmessage.RCodeSuccess {
			t.Errorf("query %d: code %d", binary.BigEndian.Uint16(buf), rcodeOf(buf[:n]))
		}
		delete(missing, binary.BigEndian.Uint16(buf[:n]))
	}
}

// TestRestart_OtherSockets: what is of another namespace, address or name is closed and
// forgotten, and others are opened.
func TestRestart_OtherSockets(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, w *world, was map[string][]*os.File) map[string][]*os.File{
		"another namespace": func(_ *testing.T, w *world, was map[string][]*os.File) map[string][]*os.File {
			w.spaceOf = func(syscall.Conn) uint64 { return 2 }
			return was
		},
		"one is missing": func(t *testing.T, w *world, was map[string][]*os.File) map[string][]*os.File {
			was[streamName][0].Close()
			delete(was, streamName)
			must(t, w.store.Drop(streamName))
			return was
		},
		"two of a name": func(t *testing.T, w *world, was map[string][]*os.File) map[string][]*os.File {
			w.store.kept[datagramName] = append(w.store.kept[datagramName], duplicate(t, was[datagramName][0]))
			return w.store.handOut(t)
		},
		"another address": func(t *testing.T, w *world, was map[string][]*os.File) map[string][]*os.File {
			c, err := net.ListenPacket("udp4", "127.0.0.1:0")
			must(t, err)
			must(t, w.store.Drop(datagramName))
			must(t, w.store.Keep(datagramName, c.(*net.UDPConn)))
			must(t, c.Close())
			was[datagramName][0].Close()
			return w.store.handOut(t)
		},
		"another name": func(t *testing.T, w *world, was map[string][]*os.File) map[string][]*os.File {
			w.store.kept["other"] = []*os.File{duplicate(t, was[datagramName][0])}
			return w.store.handOut(t)
		},
		"no socket": func(t *testing.T, w *world, was map[string][]*os.File) map[string][]*os.File {
			was[streamName][0].Close()
			f, err := os.Open(os.DevNull)
			must(t, err)
			must(t, w.store.Drop(streamName))
			w.store.kept[streamName] = []*os.File{f}
			return w.store.handOut(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.follow()
			w.open()
			w.Close(ended())
			was := w.store.handOut(t)
			w.start(nil)
			now := change(t, w, was)
			w.inherited = now
			before := w.store.puts.Load()
			w.follow()
			eventually(t, "opened again", func() bool { return w.store.puts.Load() == before+2 })
			if got := w.store.names(); !slices.Equal(got, bothSockets) {
				t.Errorf("stored are %v", got)
			}
			if got := w.ask(slotA, "web."); got != "Success 127.255.255.2" {
				t.Errorf("%q", got)
			}
			for what, files := range now {
				for _, f := range files {
					if _, err := f.Stat(); err == nil {
						t.Errorf("the inherited %s is still open", what)
					}
				}
			}
		})
	}
}

func duplicate(t *testing.T, f *os.File) *os.File {
	t.Helper()
	dup, err := syscall.Dup(int(f.Fd()))
	must(t, err)
	return os.NewFile(uintptr(dup), f.Name())
}

// TestResolver_FollowsTheNamespace: a socket keeps a namespace alive, and hears nothing in the
// next one.
func TestResolver_FollowsTheNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.follow()
	w.open()
	closed := func(why string) {
		t.Helper()
		eventually(t, why, func() bool {
			c, err := net.ListenPacket("udp4", w.at.String())
			if err != nil {
				return false
			}
			return c.Close() == nil && len(w.store.names()) == 0
		})
	}
	w.spaces.id.Store(0)
	closed("closed without a namespace")
	w.spaces.id.Store(2)
	w.open()
	if got := w.ask(slotA, "web."); got != "Success 127.255.255.2" {
		t.Errorf("in the next namespace: %q", got)
	}
	without := *w.rec
	without.Networks = nil
	w.Follow(&without, "n1", compile.Conditions{})
	closed("closed without networks")
	if w.running != nil || w.Queries() != nil {
		t.Error("something runs without networks")
	}
	w.follow()
	w.open()
	w.Follow(nil, "", compile.Conditions{})
	closed("closed without a record")
}

// TestResolver_Disowns: sockets that were left by an agent whose cluster had networks go, if
// there are none any more.
func TestResolver_Disowns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.follow()
	w.open()
	w.Close(ended())
	if got := w.store.names(); !slices.Equal(got, bothSockets) {
		t.Fatalf("stored are %v", got)
	}
	w.start(w.store.handOut(t))
	w.Follow(nil, "", compile.Conditions{Absent: nil})
	w.Follow(w.rec, "n9", compile.Conditions{})
	if got := w.store.names(); len(got) != 0 {
		t.Errorf("stored are %v", got)
	}
}
