// Package host is what the agent knows of the host besides the mesh: its
// addresses, routes and listeners, for the checks before a commit, and what its
// settings were before the mesh came.
package host

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Facts describes the host. Interfaces are those with an IPv4 address that
// others can reach; ours are left out.
func (h *Host) Facts() (mesh.HostFacts, error) {
	name, err := os.Hostname()
	if err != nil {
		return mesh.HostFacts{}, fmt.Errorf("read the host name: %w", err)
	}
	release, err := KernelRelease()
	if err != nil {
		return mesh.HostFacts{}, err
	}
	links, err := interfaces()
	if err != nil {
		return mesh.HostFacts{}, err
	}
	return mesh.HostFacts{Hostname: name, KernelRelease: release, Arch: runtime.GOARCH, Interfaces: links}, nil
}

// KernelRelease is what `uname -r` says.
func KernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("read the kernel's release: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// Addresses are the IPv4 addresses of the host, without those of the mesh: those that others
// can reach first, then those of lo.
func Addresses() (all []netip.Addr, err error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	var loopback []netip.Addr
	for _, i := range links {
		if i.Name == state.HostLink || i.Name == state.SelfTestLink {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone since the list was made
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			switch {
			case err != nil || !p.Addr().Is4():
			case p.Addr().IsLoopback():
				loopback = append(loopback, p.Addr())
			default:
				all = append(all, p.Addr())
			}
		}
	}
	return append(all, loopback...), nil
}

func interfaces() ([]mesh.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	links := []mesh.Interface{}
	for _, i := range all {
		if i.Name == state.HostLink || i.Name == state.SelfTestLink {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone since the list was made
		}
		link := mesh.Interface{Name: i.Name, MTU: i.MTU}
		for _, a := range addrs {
			if p, ok := reachable(a); ok {
				link.Addresses = append(link.Addresses, p)
			}
		}
		if len(link.Addresses) > 0 {
			links = append(links, link)
		}
	}
	return links, correctMTUs(links)
}

func reachable(a net.Addr) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(a.String())
	if err != nil || !p.Addr().Is4() || p.Addr().IsLoopback() {
		return netip.Prefix{}, false
	}
	return p, true
}
