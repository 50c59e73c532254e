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

// List implements Balancer. It reads all services with their destinations at
// once, where netlink takes a request for each service.
func (b *ipvsBalancer) List(into state.State) error {
	return b.mesh.do(func() error {
		// Not /proc/net: that is the namespace of the process's first thread.
		text, err := os.ReadFile("/proc/thread-self/net/ip_vs")
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the kernel has no IPVS, so there are no servers
		}
		if err != nil {
			return err
		}
		return parseIPVS(into, string(text))
	})
}

// parseIPVS reads
//
//	IP Virtual Server version 1.2.1 (size=4096)
//	Prot LocalAddress:Port Scheduler Flags
//	  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
//	TCP  0AFF0101:1F90 rr
//	  -> 0AFF0202:0050      Masq    1      0          0
//
// (ip_vs_info_seq_show). Services by firewall mark or of IPv6 are not ours to
// make; somebody who puts one into our namespace keeps it.
func parseIPVS(into state.State, text string) error {
	var v state.VirtualServer
	var known bool
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		var err error
		switch {
		case i < 3 || len(fields) == 0: // the heading
		case fields[0] == "->":
			if known {
				err = putReal(into, v, fields[1:])
			}
		default:
			if v, known, err = virtualOf(fields); known {
				into.Put(v)
			}
		}
		if err != nil {
			return fmt.Errorf("/proc/net/ip_vs, line %d %q: %w", i+1, line, err)
		}
	}
	return nil
}

// virtualOf reads "TCP 0AFF0101:1F90 rr persistent 300 FFFFFFFF".
func virtualOf(fields []string) (v state.VirtualServer, known bool, err error) {
	if fields[0] != "TCP" && fields[0] != "UDP" || len(fields) > 1 && strings.HasPrefix(fields[1], "[") {
		return v, false, nil
	}
	if len(fields) < 3 {
		return v, false, errors.New("no service")
	}
	addr, err := hexAddrPort(fields[1])
	return state.VirtualServer{
		Proto:     strings.ToLower(fields[0]),
		Addr:      addr,
		Scheduler: fields[2],
		Fault:     strings.Join(fields[3:], " "), // persistence, one-packet scheduling
	}, err == nil, err
}

// putReal reads "0AFF0202:0050 Masq 1 0 0".
func putReal(into state.State, v state.VirtualServer, fields []string) error {
	if len(fields) < 3 {
		return errors.New("no destination")
	}
	addr, err := hexAddrPort(fields[0])
	if err != nil {
		return err
	}
	weight, err := strconv.Atoi(fields[2])
	if err != nil {
		return err
	}
	r := state.RealServer{Proto: v.Proto, Server: v.Addr, Addr: addr, Weight: weight}
	// The kernel itself calls a destination that is one of its own addresses
	// Local, if it was made masquerading or not (ip_vs_fwd_name, __ip_vs_update_dest).
	if fields[1] != "Masq" {
		r.Fault = "forwarded by " + fields[1]
	}
	into.Put(r)
	return nil
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
