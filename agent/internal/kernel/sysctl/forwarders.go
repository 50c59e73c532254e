package sysctl

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// linksBefore keeps the names of the links that were there when ip_forward was
// switched on, separated by spaces. None of them needed it.
const linksBefore = "net.ipv4.conf.*"

// Docker, libvirt and others find ip_forward on while the mesh is here, and rely on
// it from then on without having written it. So it stays on where a link of a
// kind that containers, virtual machines and tunnels have is there that was not
// before, or where the host's configuration asks for it by now.

// othersForward tells whether somebody else needs ip_forward since it was switched on.
func (s *Settings) othersForward() (bool, error) {
	before, ok := s.originals.Get(linksBefore)
	if !ok { // of an agent that did not keep it
		return configured(s.root), nil
	}
	links, err := ForwardingKinds()
	if err != nil {
		return false, err
	}
	came := slices.ContainsFunc(links, func(link string) bool { return !slices.Contains(strings.Fields(before), link) })
	return came || configured(s.root), nil
}

// ForwardingKinds are the links of the calling thread's namespace that may need ip_forward.
func ForwardingKinds() (names []string, err error) {
	links, err := netlink.LinkList()
	for _, l := range links {
		if NeedsForwarding(l) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, err
}

// NeedsForwarding says that the link is not ours, and of a kind over which packets of
// others than the host itself may come.
func NeedsForwarding(l netlink.Link) bool {
	own := slices.Contains([]string{state.HostLink, state.SelfTestLink}, l.Attrs().Name)
	uplink := slices.Contains([]string{"device", "dummy", "bond", "vlan", "team", "ifb"}, l.Type())
	return !own && !uplink
}

// plainName is a link's that means only itself in a rule of iptables: a plus at the end
// stands for any more.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// Forwarding says whether the host of the calling thread's namespace forwards for the mesh
// alone. Before the mesh has switched ip_forward on it is what will be.
func (s *Settings) Forwarding() (state.Forwarding, error) {
	none := state.Forwarding{}
	was, claimed := s.originals.Get(ipForward)
	links, _ := s.originals.Get(forwardingLinks)
	if !claimed {
		value, _, err := Read(ipForward)
		found, err2 := forwarding()
		if err := errors.Join(err, err2); err != nil {
			return none, err
		}
		was, links = value, strings.Join(found, " ")
	}
	// An agent that did not keep the links from before cannot tell who has come since.
	if _, kept := s.originals.Get(linksBefore); was != "0" || links != "" || claimed && !kept {
		return none, nil
	}
	if others, err := s.othersForward(); err != nil || others {
		return none, err
	}
	all, err := netlink.LinkList()
	if err != nil {
		return none, err
	}
	var bridges []string
	for _, l := range all {
		if name := l.Attrs().Name; l.Type() == "bridge" {
			if !plainName.MatchString(name) {
				return none, nil
			}
			bridges = append(bridges, name)
		}
	}
	slices.Sort(bridges)
	return state.Forwarding{OnlyMesh: true, Bridges: strings.Join(bridges, " ")}, nil
}

// configured tells whether a file of sysctl.d(5) below root asks for ip_forward. Which
// of several that disagree wins does not matter: one asks for it.
func configured(root string) bool {
	files := []string{filepath.Join(root, "etc/sysctl.conf")}
	for _, dir := range []string{"etc", "run", "usr/local/lib", "usr/lib", "lib"} {
		found, _ := filepath.Glob(filepath.Join(root, dir, "sysctl.d", "*.conf")) // the pattern is right
		files = append(files, found...)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		content, err := os.ReadFile(file)
		return err == nil && asksForwarding(string(content))
	})
}

// asksForwarding reads a file of sysctl.d(5): names have dots or slashes, and a minus
// before them where an error does not matter.
func asksForwarding(content string) bool {
	for line := range strings.Lines(content) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		name = strings.ReplaceAll(strings.TrimSpace(strings.TrimPrefix(name, "-")), "/", ".")
		if strings.TrimSpace(value) == "1" && slices.Contains([]string{ipForward, "net.ipv4.conf.all.forwarding"}, name) {
			return true
		}
	}
	return false
}

// leaveForwarding keeps ip_forward on, and forgets what it was.
func (s *Settings) leaveForwarding() error {
	return errors.Join(s.originals.Delete(acceptRedirects), s.originals.Delete(forwardingLinks), s.originals.Delete(linksBefore))
}
