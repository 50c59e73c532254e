package ipvs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const procIPVS = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  0AFF0101:14E9 rr 
  -> 0AFF0202:0035      Masq    70000  0          12         
TCP  0AFF0101:1F90 wlc persistent 300 FFFFFFFF
  -> 0AFF0202:0050      Masq    1      3          0         
  -> 0AFF0302:1F90      Route   1      1          0         
TCP  0AFF0101:1F91 rr 
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 rr 
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:0050      Masq    1      0          0         
FWM  00000007 rr 
  -> 0AFF0202:0000      Route   1      0          0         
FWM  52012710 rr 
  -> 0AFF0202:0000      Masq    1      2          0         
FWM  0AFFFF05 rr 
  -> 0AFF0280:0000      Masq    1      3          1         
`

func TestParseDestinations(t *testing.T) {
	var got []string
	err := parseDestinations(strings.NewReader(procIPVS),
		func(proto string, addr netip.AddrPort) { got = append(got, proto+" "+addr.String()) },
		func(r listed) {
			got = append(got, fmt.Sprintf("%s, %d active, %d inactive", r, r.load.Active, r.load.Inactive))
		})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{
		" 10.255.255.5:0",
		"IPVS 10.255.1.1:5353/udp destination 10.255.2.2:53 weight 70000, 0 active, 12 inactive",
		"IPVS 10.255.1.1:8080/tcp destination 10.255.2.2:80 weight 1, 3 active, 0 inactive",
		"IPVS 10.255.1.1:8080/tcp destination 10.255.3.2:8080 weight 1, not masquerading, 1 active, 0 inactive",
		"IPVS 10.255.255.5 destination 10.255.2.128:0 weight 1, 3 active, 1 inactive",
		"IPVS 244.1.39.16:10000/udp destination 10.255.2.2:0 weight 1, 2 active, 0 inactive",
		"tcp 10.255.1.1:8080",
		"tcp 10.255.1.1:8081",
		"udp 10.255.1.1:5353",
		"udp 244.1.39.16:10000",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseDestinationsRefusesWhatItDoesNotKnow(t *testing.T) {
	heading := "\n\n\n"
	for _, text := range []string{
		"FWM", "FWM 5201271 rr", "FWM 520x2710 rr", "TCP", "TCP 0AFF0101:1F90", "TCP 0AFF01:1F90 rr", "TCP 0AFF0101 rr",
		"TCP 0AFF0101:1F90 rr\n -> 0AFF0202:0050 Masq", "TCP 0AFF0101:1F90 rr\n -> 0AFF0202:0050 Masq x 0 0",
		"TCP 0AFF0101:1F90 rr\n -> 0AFF0202:0050 Masq 1 -1 0", "TCP 0AFF0101:1F90 rr\n -> 0AFF0202:0050 Masq 1 0",
	} {
		if err := parseDestinations(strings.NewReader(heading+text), func(string, netip.AddrPort) {}, func(listed) {}); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

// proc is what /proc/net/ip_vs says of many services, each with ten destinations.
func proc(services int) string {
	var b strings.Builder
	b.WriteString("IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n")
	for i := range services {
		fmt.Fprintf(&b, "TCP  0AFF0101:%04X rr \n", 10000+i)
		for d := range 10 {
			fmt.Fprintf(&b, "  -> 0AFF%02X02:%04X      Masq    1      %-10d 0         \n", d, 20000+i, d)
		}
	}
	return b.String()
}

// Whatever the number of destinations, reading them makes no garbage.
func TestDestinationsAreReadWithoutGarbage(t *testing.T) {
	text, n := proc(1000), 0
	allocs := testing.AllocsPerRun(5, func() {
		n = 0
		if err := parseDestinations(strings.NewReader(text), func(string, netip.AddrPort) {}, func(listed) { n++ }); err != nil {
			t.Fatal(err)
		}
	})
	if n != 10000 || allocs > 10 {
		t.Errorf("%d destinations took %v allocations, at most 10 are promised", n, allocs)
	}
}

func BenchmarkParseDestinations(b *testing.B) {
	b.ReportAllocs()
	text := proc(5000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := parseDestinations(strings.NewReader(text), func(string, netip.AddrPort) {}, func(listed) {}); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParseDestinations(f *testing.F) {
	f.Add(procIPVS)
	f.Add("\n\n\nUDP 0 0")
	f.Fuzz(func(t *testing.T, text string) {
		known := false
		_ = parseDestinations(strings.NewReader(text), func(proto string, addr netip.AddrPort) {
			known = proto == "tcp" || proto == "udp" || proto == "" && addr.Port() == 0
			if !known || !addr.Addr().Is4() {
				t.Errorf("service %s %s", proto, addr)
			}
		}, func(r listed) {
			if !known || !r.Addr.IsValid() || r.Weight < 0 {
				t.Errorf("destination %s", r)
			}
		})
	})
}
