package probe

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func record(t *testing.T, nodes int) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: netip.MustParsePrefix("10.0.0.0/8"), NodePrefixLength: 24, VXLANPort: 4789, VNI: 5_000_001, PublishedPortRange: mesh.DefaultPortRange,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		n := &mesh.Node{Name: fmt.Sprintf("n%d", i), Address: netip.AddrFrom4([4]byte{192, 0, byte(2 + i/250), byte(1 + i%250)}), UnderlayMTU: 1500}
		if err := rec.PutNode(n); err != nil {
			t.Fatal(err)
		}
	}
	return rec
}

// world answers what is sent: delay after it, up to a size, after some losses.
type world struct {
	delay time.Duration
	limit map[string]int // what passes to each node, 1450 where it is not named
	lose  int            // of every so many packets one is lost
	errs  map[string]error

	sent int
}

func (w *world) run(t *testing.T, targets []*target) (*watch, time.Duration) {
	t.Helper()
	watch := newWatch(targets, nonce{7})
	ctx, stop := context.WithTimeout(t.Context(), window)
	defer stop()
	r := &rounds{
		watch: watch, interval: interval,
		overlay: func(to *target, size int) error {
			if err := w.errs[to.node.Name]; err != nil {
				return err
			}
			limit, named := w.limit[to.node.Name]
			w.sent++
			if named && size > limit || w.lose > 0 && w.sent%w.lose == 0 {
				return nil
			}
			time.AfterFunc(w.delay, func() {
				if ctx.Err() != nil {
					return // nobody listens any more
				}
				watch.overlayEcho(echo{from: to.node.MeshAddress(), size: size, nonce: watch.nonce})
			})
			return nil
		},
		underlay: func(to *target) error {
			watch.underlayEcho(echo{from: to.node.Address, nonce: watch.nonce})
			return nil
		},
	}
	start := time.Now()
	r.run(ctx)
	took := time.Since(start)
	stop()
	time.Sleep(w.delay) // of the bubble: what is on its way arrives, and is not heard
	synctest.Wait()
	return watch, took
}

func TestAProbeEndsWhenAllHaveAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{delay: 30 * time.Millisecond}
		targets := newTargets(record(t, 4), "n0", nil)
		if _, took := w.run(t, targets); took != w.delay {
			t.Errorf("it took %s", took)
		}
		for _, target := range targets {
			if target.result.Answered != 1450 || !target.result.Underlay || target.result.Error != "" {
				t.Errorf("%s: %+v", target.node.Name, target.result)
			}
		}
		if w.sent != 6 {
			t.Errorf("%d packets were sent", w.sent)
		}
	})
}

func TestTheLargestSizeThatPassesIsFound(t *testing.T) {
	for _, delay := range []time.Duration{time.Millisecond, 250 * time.Millisecond} {
		for _, limit := range []int{0, 127, smallest, smallest + 1, 576, 999, 1372, 1400, 1448, 1449, 1450} {
			t.Run(fmt.Sprint(limit, " ", delay), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &world{delay: delay, limit: map[string]int{"n1": limit}}
					targets := newTargets(record(t, 3), "n0", []string{"n1"})
					_, took := w.run(t, targets)
					want := limit
					if limit < smallest {
						want = 0
					}
					if got := targets[0].result.Answered; got != want {
						t.Errorf("%d bytes passed, %d were found", want, got)
					}
					if took > window {
						t.Errorf("it took %s", took)
					}
				})
			})
		}
	}
}

func TestAFewLostPacketsAreNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{delay: time.Millisecond, lose: 4}
		targets := newTargets(record(t, 12), "n0", nil)
		w.run(t, targets)
		for _, target := range targets {
			if target.result.Answered != 1450 {
				t.Errorf("%s: %+v", target.node.Name, target.result)
			}
		}
	})
}

// Hundreds of silent peers, and hundreds whose large packets are lost, do not
// make a flood.
func TestTheRateIsBounded(t *testing.T) {
	for name, limit := range map[string]int{"silent": 0, "large packets lost": 1300} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := record(t, 900)
				w := &world{delay: time.Millisecond, limit: map[string]int{}}
				for name := range rec.Nodes {
					w.limit[name] = limit
				}
				targets := newTargets(rec, "n0", nil)
				_, took := w.run(t, targets)
				const rounds = int(window / interval)
				if took > window || w.sent > rounds*(maxPackets+maxWidth) {
					t.Errorf("%d packets in %s", w.sent, took)
				}
				for _, target := range targets {
					if got := target.result.Answered; limit > 0 && (got > limit || got < limit*9/10) || limit == 0 && got != 0 {
						t.Errorf("%s: %d bytes were found to pass", target.node.Name, got)
					}
				}
			})
		})
	}
}

func TestWhatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{errs: map[string]error{"n1": unix.EMSGSIZE, "n2": unix.ENETUNREACH}}
		targets := newTargets(record(t, 4), "n0", nil)
		w.run(t, targets)
		if e := targets[0].result.Error; e != "" {
			t.Errorf("a link that is too small is no error: %s", e)
		}
		if e := targets[1].result.Error; e != "network is unreachable" {
			t.Errorf("n2: %q", e)
		}
		if e := targets[2].result.Error; e != "" {
			t.Errorf("n3: %q", e)
		}
	})
}

func TestTargets(t *testing.T) {
	rec := record(t, 4)
	for want, peers := range map[string][]string{"[n1 n2 n3]": nil, "[n2]": {"n2", "n2", "n0", "unknown"}} {
		var got []string
		for _, target := range newTargets(rec, "n0", peers) {
			got = append(got, target.node.Name)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v: %v", peers, got)
		}
	}
}

// A request of a peer, an answer to somebody else's probe, a stranger's frames.
func TestWhatIsHeard(t *testing.T) {
	rec := record(t, 3)
	targets := newTargets(rec, "n0", nil)
	w := newWatch(targets, nonce{1})
	n1 := rec.Nodes["n1"]
	w.overlayEcho(echo{from: n1.MeshAddress(), request: true, size: 900, nonce: nonce{9}})
	w.overlayEcho(echo{from: n1.MeshAddress(), request: true, size: 500, nonce: nonce{9}})
	w.overlayEcho(echo{from: n1.MeshAddress(), size: 1450, nonce: nonce{9}})
	w.overlayEcho(echo{from: netip.MustParseAddr("198.51.100.1"), request: true, size: 700})
	w.underlayEcho(echo{from: n1.Address, request: true, nonce: nonce{1}})
	for i := range 9 {
		w.frame(vxlan(t, byte(10+i), n1, rec.Nodes["n0"].Address), &rec.Cluster, rec.Nodes["n0"].Address)
		w.frame(vxlan(t, 10, n1, rec.Nodes["n2"].Address), &rec.Cluster, rec.Nodes["n0"].Address)
	}
	got := targets[0].result
	if got.Heard != 900 || got.Answered != 0 || got.Underlay || fmt.Sprint(got.Wire) != "[203.0.113.10 203.0.113.11 203.0.113.12 203.0.113.13]" {
		t.Errorf("n1: %+v", got)
	}
	if other := targets[1].result; other.Heard != 0 || len(other.Wire) != 0 {
		t.Errorf("n2: %+v", other)
	}
}

// vxlan is a frame of from's with an outer source address of 203.0.113.0/24.
func vxlan(t *testing.T, outer byte, from *mesh.Node, to netip.Addr) []byte {
	t.Helper()
	b := make([]byte, ipv4Header+udpHeader+vxlanHeader+etherHeader)
	b[0], b[9] = 0x45, 17
	copy(b[12:], []byte{203, 0, 113, outer})
	copy(b[16:], to.AsSlice())
	copy(b[22:], []byte{0x12, 0xb5})
	b[28] = 0x08
	copy(b[32:], []byte{0x4c, 0x4b, 0x41})
	copy(b[42:], from.MAC())
	return b
}

func TestParseFrame(t *testing.T) {
	n1 := record(t, 2).Nodes["n1"]
	to := netip.MustParseAddr("192.0.2.9")
	good := vxlan(t, 10, n1, to)
	f, ok := parseFrame(good, 4789, 5_000_001)
	if want := (frame{outer: netip.MustParseAddr("203.0.113.10"), to: to, sender: n1.MeshAddress()}); !ok || f != want {
		t.Errorf("%+v, %t", f, ok)
	}
	options := slices.Insert(slices.Clone(good), ipv4Header, 1, 1, 1, 1)
	options[0] = 0x46
	if f, ok := parseFrame(options, 4789, 5_000_001); !ok || f.sender != n1.MeshAddress() {
		t.Errorf("with IPv4 options: %+v, %t", f, ok)
	}
	piece := slices.Clone(good)
	piece[2], piece[3], piece[6] = 1500>>8, 1500&0xff, 0x20
	if f, ok := parseFrame(piece, 4789, 5_000_001); !ok || f.whole != 1450 {
		t.Errorf("the first of several pieces: %+v, %t", f, ok)
	}
	for name, change := range map[string]func([]byte) []byte{
		"IPv6": func(b []byte) []byte { b[0] = 0x65; return b }, "TCP": func(b []byte) []byte { b[9] = 6; return b },
		"a later fragment": func(b []byte) []byte { b[7] = 1; return b }, "another port": func(b []byte) []byte { b[23]++; return b },
		"another VNI": func(b []byte) []byte { b[34]++; return b }, "no VNI": func(b []byte) []byte { b[28] = 0; return b },
		"another's MAC": func(b []byte) []byte { b[43]++; return b }, "cut off": func(b []byte) []byte { return b[:len(b)-1] },
	} {
		if f, ok := parseFrame(change(slices.Clone(good)), 4789, 5_000_001); ok {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestEchoesAreReadAsTheyWereMade(t *testing.T) {
	from := netip.MustParseAddr("10.0.1.1")
	for _, size := range []int{smallest, 1450, 8950} {
		b, err := newEcho(size, nonce{1, 2})
		if err != nil || len(b) != size-ipv4Header {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		if e, ok := parseEcho(b, from); !ok || e != (echo{from, true, size, nonce{1, 2}}) {
			t.Errorf("%+v, %t", e, ok)
		}
		b[0] = 0
		if e, ok := parseEcho(b, from); !ok || e.request {
			t.Errorf("the answer: %+v, %t", e, ok)
		}
	}
	ping, _ := hex.DecodeString("0800f7ff00000000616263646566676869")
	if e, ok := parseEcho(ping, from); ok {
		t.Errorf("somebody's ping is taken for ours: %+v", e)
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte{0x45}, uint16(4789), uint32(1))
	f.Add(make([]byte, 64), uint16(0), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, port uint16, vni uint32) {
		if got, ok := parseFrame(b, port, vni); ok && (!got.outer.Is4() || !got.sender.Is4()) {
			t.Errorf("%x: %+v", b, got)
		}
	})
}

func FuzzParseEcho(f *testing.F) {
	b, err := newEcho(smallest, nonce{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parseEcho(b, netip.IPv4Unspecified()); ok && e.size != len(b)+ipv4Header {
			t.Errorf("%x: %+v", b, e)
		}
	})
}

// spaces fails as told.
type spaces struct{ mesh, host error }

func (s spaces) InMesh(fn func() error) error { return failOr(s.mesh, fn) }
func (s spaces) InHost(fn func() error) error { return failOr(s.host, fn) }

func failOr(err error, fn func() error) error {
	if err == nil {
		err = fn()
	}
	return err
}

func TestAMeshThatIsNotUpIsAnAnswer(t *testing.T) {
	p := New(spaces{mesh: errors.New("there is no network namespace routingmesh")})
	resp, err := p.Probe(t.Context(), record(t, 3), "n0", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n1", "n2"} {
		if e := resp.Peers[name].Error; e != "there is no network namespace routingmesh" {
			t.Errorf("%s: %q", name, e)
		}
	}
	for name, rec := range map[string]*mesh.Record{"no node": record(t, 2), "no record": nil} {
		if resp, err := p.Probe(t.Context(), rec, "", nil); err != nil || len(resp.Peers) != 0 {
			t.Errorf("%s: %+v, %v", name, resp, err)
		}
	}
}

func TestProbesWaitForEachOther(t *testing.T) {
	p := New(spaces{})
	p.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Probe(ctx, record(t, 2), "n0", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a second probe: %v", err)
	}
}
