package kernel

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// destinations are those of services, by the service's key, in the order in which
// the kernel has them.
type destinations map[state.Key][]listed

// listed is a destination with its connections of the moment.
type listed struct {
	state.RealServer
	load Load
}

// readDestinations reads the destinations of all services at once, where netlink
// takes a request for each: seven times as fast with 5,000 services. The thread
// is in the mesh's namespace.
//
// But a service may be missing. The kernel passes over some when it takes more
// than one piece (4 kB) to read and another namespace has services too, as Docker
// Swarm's has: ip_vs_info_seq_next counts everybody's, ip_vs_info_array only
// those of the namespace (seen on Linux 6.1). What is there is complete.
func readDestinations() (destinations, error) {
	// Not /proc/net: that is the namespace of the process's first thread.
	text, err := os.ReadFile("/proc/thread-self/net/ip_vs")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseDestinations(string(text))
}

// parseDestinations reads
//
//	IP Virtual Server version 1.2.1 (size=4096)
//	Prot LocalAddress:Port Scheduler Flags
//	  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
//	TCP  0AFF0101:1F90 rr
//	  -> 0AFF0202:0050      Masq    1      0          0
//
// (ip_vs_info_seq_show), and passes over services by firewall mark or of IPv6.
func parseDestinations(text string) (destinations, error) {
	found := destinations{}
	var v state.VirtualServer
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if i < 3 || len(fields) == 0 { // the heading
			continue
		}
		var err error
		if fields[0] != "->" {
			v, err = parseVirtual(fields)
			found[v.Key()] = nil
		} else if v.Proto != "" {
			var r listed
			r, err = parseReal(v, fields[1:])
			found[v.Key()] = append(found[v.Key()], r)
		}
		if err != nil {
			return nil, fmt.Errorf("/proc/net/ip_vs, line %d %q: %w", i+1, line, err)
		}
	}
	delete(found, state.VirtualServer{}.Key())
	return found, nil
}

// parseVirtual reads "TCP 0AFF0101:1F90 …"; nothing for what is passed over.
func parseVirtual(fields []string) (state.VirtualServer, error) {
	if fields[0] != "TCP" && fields[0] != "UDP" {
		return state.VirtualServer{}, nil
	}
	if len(fields) < 3 {
		return state.VirtualServer{}, errors.New("no service")
	}
	if strings.HasPrefix(fields[1], "[") {
		return state.VirtualServer{}, nil
	}
	addr, err := hexAddrPort(fields[1])
	return state.VirtualServer{Proto: strings.ToLower(fields[0]), Addr: addr}, err
}

// parseReal reads "0AFF0202:0050 Masq 1 0 0".
func parseReal(v state.VirtualServer, fields []string) (listed, error) {
	if len(fields) < 5 {
		return listed{}, errors.New("no destination")
	}
	addr, err := hexAddrPort(fields[0])
	if err != nil {
		return listed{}, err
	}
	weight, err := strconv.Atoi(fields[2])
	if err != nil {
		return listed{}, err
	}
	active, errActive := strconv.ParseUint(fields[3], 10, 32)
	inactive, errInactive := strconv.ParseUint(fields[4], 10, 32)
	r := listed{
		RealServer: state.RealServer{Proto: v.Proto, Server: v.Addr, Addr: addr, Weight: weight},
		load:       Load{Active: uint32(active), Inactive: uint32(inactive)},
	}
	if fields[1] != "Masq" {
		r.Fault = notMasquerading
	}
	return r, errors.Join(errActive, errInactive)
}

// hexAddrPort reads "0AFF0101:1F90".
func hexAddrPort(s string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(s, ":")
	a, err := hex.DecodeString(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip, ok := netip.AddrFromSlice(a)
	p, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port", s)
	}
	return netip.AddrPortFrom(ip, uint16(p)), nil
}
