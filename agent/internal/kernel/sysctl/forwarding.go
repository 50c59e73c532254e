package sysctl

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// A write of ip_forward writes other settings of the host, too: conf.all.accept_redirects
// is off with it and on without, conf.default.forwarding and that of every link are as it
// is (inet_forward_change in net/ipv4/devinet.c). So what they were is kept before
// ip_forward is switched on, and put back after it is switched off.
const (
	ipForward       = "net.ipv4.ip_forward"
	acceptRedirects = "net.ipv4.conf.all.accept_redirects"
	// forwardingLinks keeps the names of those in conf whose forwarding was on while
	// ip_forward was off, separated by spaces.
	forwardingLinks = "net.ipv4.conf.*.forwarding"
)

// forwardingFile is for any link: a name may have a dot, which file would take for
// a separator.
func forwardingFile(link string) string { return "/proc/sys/net/ipv4/conf/" + link + "/forwarding" }

// keepForwarding keeps what switching ip_forward on will overwrite.
func (s *Settings) keepForwarding() error {
	redirects, _, err := Read(acceptRedirects)
	if err != nil {
		return err
	}
	links, err := forwarding()
	if err != nil {
		return err
	}
	before, err := ForwardingKinds()
	return errors.Join(err, s.originals.Set(acceptRedirects, redirects), s.originals.Set(forwardingLinks, strings.Join(links, " ")),
		s.originals.Set(linksBefore, strings.Join(before, " ")))
}

// forwarding are the names in conf whose forwarding is on, but for ours and "all", which
// is ip_forward itself.
func forwarding() (links []string, err error) {
	entries, err := os.ReadDir("/proc/sys/net/ipv4/conf")
	for _, e := range entries {
		on, err := os.ReadFile(forwardingFile(e.Name()))
		if err == nil && strings.TrimSpace(string(on)) == "1" && !slices.Contains([]string{"all", state.HostLink}, e.Name()) {
			links = append(links, e.Name())
		}
	}
	return links, err
}

// stopForwarding switches ip_forward off, unless somebody else has (value is what it is
// now) or needs it, and puts back what that overwrites. A crash between the two is no loss: what is
// put back is on disk before.
func (s *Settings) stopForwarding(value string) error {
	if value == "1" {
		if others, err := s.othersForward(); err != nil || others {
			return errors.Join(err, s.leaveForwarding())
		}
		redirects, _, err := Read(acceptRedirects)
		if err == nil && redirects != "0" { // somebody has set it since
			err = s.originals.Set(acceptRedirects, redirects)
		}
		if err == nil {
			err = Write(ipForward, "0")
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(s.putBack(acceptRedirects), s.putBackLinks(), s.originals.Delete(linksBefore))
}

func (s *Settings) putBack(name string) error {
	was, ok := s.originals.Get(name)
	if !ok {
		return nil
	}
	value, there, err := Read(name)
	if err == nil && there && value != was {
		err = Write(name, was)
	}
	if err != nil {
		return fmt.Errorf("put back %s of %s: %w", was, name, err)
	}
	return s.originals.Delete(name)
}

func (s *Settings) putBackLinks() error {
	links, _ := s.originals.Get(forwardingLinks)
	for link := range strings.FieldsSeq(links) {
		err := os.WriteFile(forwardingFile(link), []byte("1"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // the link is gone
			return err
		}
	}
	return s.originals.Delete(forwardingLinks)
}
