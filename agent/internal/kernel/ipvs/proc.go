package ipvs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// listed is a destination with its connections of the moment.
type listed struct {
	state.RealServer
	load Load
}

// readDestinations shows each service, and after it its destinations in the order
// in which the kernel has them, all in one read where netlink takes a request for
// each service: seven times as fast with 5,000. The thread is in the mesh's namespace.
//
// But a service may be missing. The kernel passes over some when it takes more
// than one piece (4 kB) to read and another namespace has services too, as Docker
// Swarm's has: ip_vs_info_seq_next counts everybody's, ip_vs_info_array only
// those of the namespace (seen on Linux 6.1). What is there is complete.
func readDestinations(service func(proto string, addr netip.AddrPort), dest func(listed)) error {
	// Not /proc/net: that is the namespace of the process's first thread.
	f, err := os.Open("/proc/thread-self/net/ip_vs")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(parseDestinations(f, service, dest), f.Close())
}

// parseDestinations reads
//
//	IP Virtual Server version 1.2.1 (size=4096)
//	Prot LocalAddress:Port Scheduler Flags
//	  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
//	TCP  0AFF0101:1F90 rr
//	  -> 0AFF0202:0050      Masq    1      0          0
//	FWM  52002710 rr
//	  -> 0AFF0202:0000      Masq    1      0          0
//
// (ip_vs_info_seq_show), and passes over services of IPv6, and by firewall marks that no range
// of ports and no VIP has. It makes nothing for the garbage collector: there are 50,000 lines.
func parseDestinations(text io.Reader, service func(proto string, addr netip.AddrPort), dest func(listed)) error {
	const heading = 3
	lines := bufio.NewReaderSize(text, 1<<14)
	var at state.RealServer // of the service, without its own address
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return atLine(n, line, err)
		}
		last := err != nil
		err = nil
		first, rest := field(line)
		switch {
		case n <= heading || len(first) == 0:
		case string(first) != "->":
			at = state.RealServer{}
			if at.Proto, at.Server, err = parseVirtual(first, rest); at.Server.IsValid() && err == nil {
				service(at.Proto, at.Server)
			}
		case at.Server.IsValid():
			r := listed{RealServer: at}
			if r.Addr, err = r.parse(rest); err == nil {
				dest(r)
			}
		}
		if err != nil || last {
			return atLine(n, line, err)
		}
	}
}

func atLine(n int, line []byte, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("/proc/net/ip_vs, line %d %q: %w", n, line, err)
}

// field cuts off the first word.
func field(line []byte) (word, rest []byte) {
	from := 0
	for from < len(line) && (line[from] == ' ' || line[from] == '\n') {
		from++
	}
	to := from
	for to < len(line) && line[to] != ' ' && line[to] != '\n' {
		to++
	}
	return line[from:to], line[to:]
}

// parseVirtual reads "TCP 0AFF0101:1F90 rr…"; nothing for what is passed over.
func parseVirtual(kind, rest []byte) (proto string, addr netip.AddrPort, err error) {
	switch string(kind) {
	case "TCP":
		proto = "tcp"
	case "UDP":
		proto = "udp"
	case "FWM":
		return parseMark(rest)
	default:
		return "", addr, nil
	}
	where, rest := field(rest)
	if scheduler, _ := field(rest); len(scheduler) == 0 {
		return "", addr, errors.New("no service")
	}
	if where[0] == '[' {
		return "", addr, nil
	}
	addr, err = hexAddrPort(where)
	return proto, addr, err
}

// parseMark reads "52002710 rr…".
func parseMark(rest []byte) (proto string, addr netip.AddrPort, err error) {
	word, _ := field(rest)
	mark, ok := hexadecimal(word)
	if !ok || len(word) != 8 {
		return "", addr, fmt.Errorf("%q is no firewall mark", word)
	}
	p, at, ok := mesh.ServerOfMark(mark)
	if !ok {
		return "", addr, nil
	}
	return string(p), at, nil
}

// parse reads "0AFF0202:0050 Masq 1 0 0"; it sets all but the address.
func (r *listed) parse(line []byte) (addr netip.AddrPort, err error) {
	where, line := field(line)
	forward, line := field(line)
	var numbers [3]uint32
	for i := range numbers {
		var word []byte
		word, line = field(line)
		if numbers[i], err = decimal(word); err != nil {
			return addr, err
		}
	}
	r.Weight, r.load = int(numbers[0]), Load{Active: numbers[1], Inactive: numbers[2]}
	if string(forward) != "Masq" {
		r.Fault = notMasquerading
	}
	return hexAddrPort(where)
}

var errNoNumber = errors.New("no number where one has to be")

func decimal(word []byte) (uint32, error) {
	n := uint64(0)
	for _, c := range word {
		if n = 10*n + uint64(c-'0'); c < '0' || c > '9' || n > math.MaxUint32 {
			return 0, errNoNumber
		}
	}
	if len(word) == 0 {
		return 0, errNoNumber
	}
	return uint32(n), nil
}

// hexAddrPort reads "0AFF0101:1F90".
func hexAddrPort(word []byte) (netip.AddrPort, error) {
	const addr, port = 8, 4
	if len(word) != addr+1+port || word[addr] != ':' {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port", word)
	}
	a, okAddr := hexadecimal(word[:addr])
	p, okPort := hexadecimal(word[addr+1:])
	if !okAddr || !okPort {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port", word)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), uint16(p)), nil
}

func hexadecimal(word []byte) (n uint32, ok bool) {
	for _, c := range word {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint32(c-'0')
		case c >= 'A' && c <= 'F':
			n = n<<4 | uint32(c-'A'+10)
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint32(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
