package ipvs

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// serviceCount is how many services IPVS has in the thread's namespace; 0 where
// the kernel has no IPVS.
func serviceCount() (int, error) {
	s, err := OpenInfo()
	if err != nil {
		return 0, err
	}
	defer s.Close()
	n, err := s.Services()
	return int(n), nlmsg.Ignore(err, unix.ENOPROTOOPT)
}

// Info asks IPVS for what it has in the namespace that the socket was made in.
// Nothing is loaded for it.
type Info struct{ fd int }

// OpenInfo opens one in the namespace of the calling thread.
func OpenInfo() (*Info, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("open a socket for the state of IPVS: %w", err)
	}
	return &Info{fd}, nil
}

// Close gives back the socket.
func (s *Info) Close() { unix.Close(s.fd) }

// Services is how many there are.
func (s *Info) Services() (uint32, error) {
	var i getInfo
	err := nlmsg.GetSockopt(s.fd, getIPVSInfo, &i)
	return i.services, err
}

// getInfo is struct ip_vs_getinfo of include/uapi/linux/ip_vs.h.
type getInfo struct {
	_, _     uint32 // version, size of the connection table
	services uint32
}

const getIPVSInfo = 64 + 1024 + 64 + 1 // IP_VS_SO_GET_INFO
