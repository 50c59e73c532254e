package selftest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// tunDevice is where the kernel makes TUN devices.
const tunDevice = "/dev/net/tun"

// openTUN makes the link, with a route to the address that the test sends from.
// The thread is in the host's namespace. The link goes with the descriptor, so a
// crash leaves nothing behind.
func openTUN(source netip.Addr) (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("the kernel has no TUN devices: there is no %s (modprobe tun)", tunDevice)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", tunDevice, err)
	}
	if err := makeTUN(fd); err != nil {
		return nil, errors.Join(fmt.Errorf("make the link %s: %w", state.SelfTestLink, err), unix.Close(fd))
	}
	// Not before it has its link: the runtime's poller would hear nothing (tun_chr_poll).
	file := os.NewFile(uintptr(fd), "self-test")
	if err := configureTUN(source); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func makeTUN(fd int) error {
	request, err := unix.NewIfreq(state.SelfTestLink)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	return unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
}

func configureTUN(source netip.Addr) error {
	// Else the link gets an IPv6 address, and says so to the agent all the time. There
	// is no such file on a host without IPv6.
	noIPv6 := "/proc/sys/net/ipv6/conf/" + state.SelfTestLink + "/disable_ipv6"
	if err := os.WriteFile(noIPv6, []byte("1"), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	link, err := netlink.LinkByName(state.SelfTestLink)
	if err != nil {
		return fmt.Errorf("look for link %s: %w", state.SelfTestLink, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", state.SelfTestLink, err)
	}
	route := &netlink.Route{
		LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: source.AsSlice(), Mask: net.CIDRMask(32, 32)},
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("add the route %s dev %s: %w", source, state.SelfTestLink, err)
	}
	return nil
}
