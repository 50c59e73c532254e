package host

import (
	"fmt"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// As Debian 12 prints them (amd64).
const (
	procTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0000000000000000 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1002 1 0000000000000000 100 0 0 10 0
   2: 0AC8A8C0:0016 01C8A8C0:D2F0 01 00000000:00000000 02:0009A8E4 00000000     0        0 1003 4 0000000000000000 20 4 30 10 -1
   3: 0AC8A8C0:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 1004 1 0000000000000000 100 0 0 10 0
`
	procTCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1005 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1006 1 0000000000000000 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1007 1 0000000000000000 100 0 0 10 0
`
	procUDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  316: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 149344 2 0000000000000000 0
  317: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1008 2 0000000000000000 0
  318: 0100007F:9C40 0100007F:0035 01 00000000:00000000 00:00000000 00000000   101        0 1009 2 0000000000000000 0
`
)

func TestParseProcNet(t *testing.T) {
	tests := []struct {
		name    string
		proto   mesh.Protocol
		content string
		want    string
	}{
		{"listening TCP sockets, not connections", mesh.TCP, procTCP, "127.0.0.1:631#1001 0.0.0.0:22#1002 192.168.200.10:8080#1004"},
		{"IPv6 sockets that take IPv4 too, not those of ::1", mesh.TCP, procTCP6, "[::]:80#1005 127.0.0.1:8081#1007"},
		{"bound UDP sockets, the kernel's own and not connected ones", mesh.UDP, procUDP, "0.0.0.0:4789#149344 0.0.0.0:53#1008"},
		{"an empty table", mesh.TCP, "", ""},
		{"lines that are none", mesh.TCP, "a b c\n   0: zz 0 0A 0 0 0 0 0 5\n" + strings.Replace(procTCP, "0100007F:", "0100007F00:", 1), "0.0.0.0:22#1002 192.168.200.10:8080#1004"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for l := range parseProcNet(tt.proto, tt.content) {
				got = append(got, fmt.Sprintf("%s#%d", l.local, l.inode))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %s\nwant %s", s, tt.want)
			}
		})
	}
}

func FuzzParseProcNet(f *testing.F) {
	f.Add(procTCP)
	f.Add(procTCP6)
	f.Add(procUDP)
	f.Fuzz(func(t *testing.T, content string) {
		for _, proto := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
			for l := range parseProcNet(proto, content) {
				if !l.local.IsValid() || !takesIPv4(l.local.Addr()) || l.proto != proto {
					t.Errorf("%+v from %q", l, content)
				}
			}
		}
	})
}
