package kernel

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Load is a destination's connections of this moment: Active are established,
// Inactive are opening or closing (for udp: all).
type Load struct{ Active, Inactive uint32 }

// Loads reads the connections of every destination in the mesh's namespace, by
// the key of its state.RealServer; a destination that is not in it is not there.
// None where there is no namespace, or no IPVS. One read of a file, usually.
func (k *Kernel) Loads(ctx context.Context) (map[state.Key]Load, error) {
	if there, err := netns.IsMounted(k.namespaceFile()); err != nil || !there {
		return nil, err
	}
	var all, seen int
	loads := map[state.Key]Load{}
	err := k.InMesh(func() (err error) {
		if all, err = serviceCount(); err != nil {
			return err
		}
		return readDestinations(func(string, netip.AddrPort) { seen++ }, func(r listed) { loads[r.Key()] = r.load })
	})
	if err != nil {
		return nil, fmt.Errorf("read the connections of IPVS: %w", err)
	}
	if seen < all { // see readDestinations
		return k.askedLoads(ctx)
	}
	return loads, nil
}

func (k *Kernel) askedLoads(ctx context.Context) (map[state.Key]Load, error) {
	servers, err := k.Servers(ctx)
	if err != nil {
		return nil, err
	}
	loads := map[state.Key]Load{}
	for _, s := range servers {
		for _, d := range s.Destinations {
			loads[state.RealServer{Proto: string(s.Proto), Server: s.Addr, Addr: d.Addr}.Key()] = Load{d.Active, d.Inactive}
		}
	}
	return loads, nil
}

// serviceCount is how many services IPVS has in the thread's namespace; 0 where
// the kernel has no IPVS.
func serviceCount() (int, error) {
	s, err := openInfo()
	if err != nil {
		return 0, err
	}
	defer s.Close()
	n, err := s.Services()
	return int(n), nlmsg.Ignore(err, unix.ENOPROTOOPT)
}

// infoSocket asks IPVS for what it has in the namespace that the socket was made in.
// Nothing is loaded for it.
type infoSocket struct{ fd int }

// openInfo opens one in the namespace of the calling thread.
func openInfo() (*infoSocket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("open a socket for the state of IPVS: %w", err)
	}
	return &infoSocket{fd}, nil
}

// Close gives back the socket.
func (s *infoSocket) Close() { unix.Close(s.fd) }

// Services is how many there are.
func (s *infoSocket) Services() (uint32, error) {
	var i info
	err := nlmsg.GetSockopt(s.fd, getIPVSInfo, &i)
	return i.services, err
}

// info is struct ip_vs_getinfo of include/uapi/linux/ip_vs.h.
type info struct{ version, tableSize, services uint32 }

const getIPVSInfo = 64 + 1024 + 64 + 1 // IP_VS_SO_GET_INFO
