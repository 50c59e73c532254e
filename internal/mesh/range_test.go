package mesh

import (
	"encoding/json"
	"net/netip"
	"testing"
)

func ranging(service string, first, last, target uint16) *PublishedPort {
	return &PublishedPort{Service: service, Published: first, Last: last, Target: target, Protocol: TCP, Mode: Ingress}
}

// A range and any other port that has one of its numbers exclude each other, in either order
// and of whichever service; other protocols do not matter.
func TestPutPort_Ranges_Intervals(t *testing.T) {
	t.Parallel()
	r := demoRecord(t)
	must(t, r.PutService(&Service{Name: "media"}))
	must(t, r.PutPort(ranging("media", 10000, 10999, 20000)))
	for _, p := range []*PublishedPort{
		ranging("media", 10500, 0, 80), ranging("web", 10999, 0, 80), ranging("web", 9000, 10000, 80), ranging("web", 9000, 12000, 80), ranging("web", 10100, 10200, 80),
	} {
		wantRule(t, r.PutPort(p), "published_port", "overlap")
	}
	single := listening("web", "192.0.2.7")
	single.Published = 10500
	wantRule(t, r.PutPort(single), "published_port", "overlap")
	must(t, r.PutPort(ranging("web", 11000, 11999, 11000)))
	udp := ranging("web", 10000, 10999, 10000)
	udp.Protocol = UDP
	must(t, r.PutPort(udp))
	must(t, r.Validate())

	for _, c := range []struct {
		port uint16
		over string
	}{{9999, ""}, {10000, "10000-10999/tcp"}, {10999, "10000-10999/tcp"}, {11000, "11000-11999/tcp"}, {8080, "8080/tcp"}} {
		name := ""
		if p := r.PortOver(PortKey{Port: c.port, Protocol: TCP}); p != nil {
			name = p.Name()
		}
		if name != c.over {
			t.Errorf("port %d is of %q, want %q", c.port, name, c.over)
		}
	}
}

// A range grows and shrinks in place, as far as others leave room.
func TestPutPort_Range_GrowsAndShrinks(t *testing.T) {
	t.Parallel()
	r := demoRecord(t)
	must(t, r.PutPort(ranging("web", 10000, 10999, 10000)))
	must(t, r.PutPort(ranging("web", 10000, 20000, 10000)))
	must(t, r.PutPort(ranging("web", 10000, 10002, 30000)))
	must(t, r.PutPort(ranging("web", 10010, 0, 80)))
	wantRule(t, r.PutPort(ranging("web", 10000, 10010, 10000)), "published_port", "overlap")
	must(t, r.PutPort(ranging("web", 10000, 10009, 10000)))
	if n := len(r.Ranges()); n != 1 {
		t.Errorf("%d ranges, want 1", n)
	}
	must(t, r.Validate())
}

func TestRangeRules(t *testing.T) {
	t.Parallel()
	r := demoRecord(t)
	nothing := ranging("web", 0, 99, 80)
	wantRule(t, r.PutPort(nothing), "last_port", "needs its first one")
	wantRule(t, r.PutPort(ranging("web", 20, 30, 80)), "published_port", "22/tcp is where sshd answers")
	udp := ranging("web", 4000, 5000, 4000)
	udp.Protocol = UDP
	wantRule(t, r.PutPort(udp), "published_port", "VXLAN")
	must(t, r.PutPort(ranging("web", 4000, 5000, 4000)))
	node := *r.Nodes["n1"]
	node.SSH.Port = 4321
	wantRule(t, r.PutNode(&node), "ssh", "4321 is published")
	own := r.Services["web"].clone()
	own.Endpoints["own"] = Endpoint{Node: "n1", Port: 99}
	wantRule(t, r.PutService(own), "endpoints", "the range of ports 4000-5000/tcp")
	r.RemovePort(PortKey{Port: 4000, Protocol: TCP})
	must(t, r.PutService(own))
	wantRule(t, r.PutPort(ranging("web", 4000, 5000, 4000)), "last_port", "ports of their own")
}

// A port without a number does not get one that is in a range.
func TestAllocatePort_PassesRangesOver(t *testing.T) {
	t.Parallel()
	r := demoRecord(t)
	must(t, r.PutPort(ranging("web", 29000, 30009, 29000)))
	p := ranging("web", 0, 0, 80)
	must(t, r.PutPort(p))
	if p.Published != 30010 {
		t.Errorf("it got %d, want 30010", p.Published)
	}
}

// Each range has a VIP that no other port has, of the addresses that are for it, and a node
// knows the port by it.
func TestRangeVIP(t *testing.T) {
	t.Parallel()
	n := &Node{Block: netip.MustParsePrefix("10.255.1.0/24")}
	seen := map[netip.Addr]string{}
	for _, proto := range []Protocol{TCP, UDP} {
		for _, mode := range []Mode{Ingress, Host} {
			for _, preserve := range []bool{false, true} {
				for _, first := range []uint16{1, 255, 256, 10000, 65534} {
					p := &PublishedPort{Published: first, Last: 65535, Target: first, Protocol: proto, Mode: mode}
					vip := p.RangeVIP(preserve)
					within := BalancedRangeVIPs
					switch {
					case preserve:
						within = PreserveRangeVIPs
					case mode == Host && proto == TCP:
						within = HostRangeVIPs
					}
					if !within.Contains(vip) || !RangeVIPs.Contains(vip) || EntryAddresses.Contains(vip) {
						t.Errorf("%s has %s", p.Name(), vip)
					}
					if key, ok := n.PortKeyAt(proto, netip.AddrPortFrom(vip, first)); !ok || key != p.Key() {
						t.Errorf("%s is the VIP of %v", vip, key)
					}
					mark, ok := RangeMark(vip)
					if p, at, back := RangeOfMark(mark); !ok || !back || p != proto || at != netip.AddrPortFrom(vip, first) || RangeServer(netip.AddrPortFrom(vip, 1)) != at {
						t.Errorf("the mark of %s is %#x, which is of %s %s", vip, mark, p, at)
					}
					if other, taken := seen[vip]; taken && other != p.Name() {
						t.Errorf("%s is of %s and of %s", vip, other, p.Name())
					}
					seen[vip] = p.Name()
				}
			}
		}
	}
}

// A record without ranges has the bytes, and so the hash, of before there were any.
func TestRange_RecordWithout(t *testing.T) {
	t.Parallel()
	if text := compact(t, ranging("web", 80, 0, 80)); text != `{"service":"web","published":80,"target":80,"protocol":"tcp","mode":"ingress"}` {
		t.Errorf("a port is %s", text)
	}
	if text := compact(t, ranging("web", 80, 90, 80)); text != `{"service":"web","published":80,"last_port":90,"target":80,"protocol":"tcp","mode":"ingress"}` {
		t.Errorf("a range is %s", text)
	}
}

func compact(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return string(data)
}
