package host

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// listener is a socket that takes what comes to a port: a TCP socket in LISTEN,
// a UDP socket that is bound and not connected.
type listener struct {
	proto mesh.Protocol
	local netip.AddrPort
	inode uint64 // see process.isKernel
}

// Socket states as in include/net/tcp_states.h. UDP sockets use the same: CLOSE
// is one that is not connected.
const (
	tcpListen = "0A"
	udpBound  = "07"
)

// parseProcNet reads what /proc/net/{tcp,tcp6,udp,udp6} lists and yields the
// sockets that IPv4 traffic reaches. A line that it does not understand is
// passed over: the format has only ever grown at its end.
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode …
//	0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 …
func parseProcNet(proto mesh.Protocol, content string) iter.Seq[listener] {
	wanted := tcpListen
	if proto == mesh.UDP {
		wanted = udpBound
	}
	return func(yield func(listener) bool) {
		for line := range strings.Lines(content) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != wanted {
				continue
			}
			local, err := parseProcAddr(fields[1])
			if err != nil || !takesIPv4(local.Addr()) {
				continue
			}
			inode, err := strconv.ParseUint(fields[9], 10, 64)
			if err != nil {
				continue
			}
			if !yield(listener{proto, local, inode}) {
				return
			}
		}
	}
}

// takesIPv4: "::" does unless it is IPV6_V6ONLY, which /proc does not say.
func takesIPv4(a netip.Addr) bool { return a.Is4() || a.IsUnspecified() }

// parseProcAddr reads ADDRESS:PORT in hex: each 32-bit word of the address in
// the machine's byte order, the port as a number.
func parseProcAddr(s string) (netip.AddrPort, error) {
	address, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(address)
	if !ok || err != nil || (len(raw) != 4 && len(raw) != 16) {
		return netip.AddrPort{}, fmt.Errorf("%q is no address of /proc/net", s)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q has no port", s)
	}
	for word := raw; len(word) > 0; word = word[4:] {
		binary.BigEndian.PutUint32(word, binary.NativeEndian.Uint32(word))
	}
	a, _ := netip.AddrFromSlice(raw) // its length was checked
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}
