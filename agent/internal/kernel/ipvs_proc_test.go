package kernel

import (
	"fmt"
	"slices"
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
`

func TestParseDestinations(t *testing.T) {
	found, err := parseDestinations(procIPVS)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for k, reals := range found {
		got = append(got, k.Name+" "+k.A.String())
		for _, r := range reals {
			got = append(got, fmt.Sprintf("%s, %d active, %d inactive", r, r.load.Active, r.load.Inactive))
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{
		"IPVS 10.255.1.1:5353/udp destination 10.255.2.2:53 weight 70000, 0 active, 12 inactive",
		"IPVS 10.255.1.1:8080/tcp destination 10.255.2.2:80 weight 1, 3 active, 0 inactive",
		"IPVS 10.255.1.1:8080/tcp destination 10.255.3.2:8080 weight 1, not masquerading, 1 active, 0 inactive",
		"tcp 10.255.1.1:8080",
		"tcp 10.255.1.1:8081",
		"udp 10.255.1.1:5353",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseDestinationsRefusesWhatItDoesNotKnow(t *testing.T) {
	heading := "\n\n\n"
	for _, text := range []string{
		"TCP", "TCP 0AFF0101:1F90", "TCP 0AFF01:1F90 rr", "TCP 0AFF0101 rr",
		"TCP 0AFF0101:1F90 rr\n -> 0AFF0202:0050 Masq", "TCP 0AFF0101:1F90 rr\n -> 0AFF0202:0050 Masq x 0 0",
		"TCP 0AFF0101:1F90 rr\n -> 0AFF0202:0050 Masq 1 -1 0", "TCP 0AFF0101:1F90 rr\n -> 0AFF0202:0050 Masq 1 0",
	} {
		if _, err := parseDestinations(heading + text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}
