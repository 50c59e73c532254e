package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Below /proc/sys/net a thread sees the settings of the namespace that it is in.
func sysctlFile(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// readSysctl returns false for a setting that is not there: its link or its
// module is not.
func readSysctl(name string) (string, bool, error) {
	value, err := os.ReadFile(sysctlFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return strings.TrimSpace(string(value)), err == nil, err
}

func writeSysctl(name, value string) error {
	return os.WriteFile(sysctlFile(name), []byte(value), 0)
}

var sysctlHandler = newHandler((*Kernel).observeSysctls, (*Kernel).putSysctl, (*Kernel).removeSysctl)

// observeSysctls reads the settings that we manage in a namespace. Those of the
// whole host are observed only when claimed: others may have their own idea.
func (k *Kernel) observeSysctls(_ context.Context, r *view) error {
	return r.space.Do(func() error {
		for _, m := range k.sysctls {
			if m.NS != r.ns || m.Global() && !k.claimed(m.Name) || !onLinks(m.Name, r.links) {
				continue
			}
			value, there, err := readSysctl(m.Name)
			if err != nil {
				return err
			}
			if there {
				r.into.Put(state.Sysctl{NS: r.ns, Name: m.Name, Value: value})
			}
		}
		return nil
	})
}

// onLinks is false for a setting of a link that is not ours.
func onLinks(name string, links []string) bool {
	link := linkOf(name)
	return link == "" || slices.Contains(links, link)
}

// linkOf is the link in "net.ipv4.conf.rmesh0.rp_filter", "" for no link's.
func linkOf(name string) string {
	rest, ok := strings.CutPrefix(name, "net.ipv4.conf.")
	link, _, _ := strings.Cut(rest, ".")
	if !ok || link == "all" || link == "default" {
		return ""
	}
	return link
}

func (k *Kernel) claimed(name string) bool {
	_, ok := k.originals.Get(name)
	return ok
}

// putSysctl writes a setting. The first write of a host's setting keeps what it
// was, on disk before the write: a crash between the two loses nothing.
func (k *Kernel) putSysctl(ctx context.Context, _ state.Object, want state.Sysctl) error {
	s, err := k.needSpace(want.NS)
	if link := linkOf(want.Name); err == nil && link != "" {
		_, _, err = k.needLink(want.NS, link)
	}
	if err != nil {
		return err
	}
	return s.Do(func() error {
		value, there, err := readSysctl(want.Name)
		if err == nil && !there {
			value, err = k.loadSysctl(ctx, want.Name)
		}
		if err != nil {
			return err
		}
		if want.Global() && !k.claimed(want.Name) {
			if err := k.keep(want.Name, value); err != nil {
				return fmt.Errorf("keep the value from before (%s): %w", value, err)
			}
		}
		if value == want.Value {
			return nil
		}
		return writeSysctl(want.Name, want.Value)
	})
}

// keep keeps what a host's setting was, and before that what its write overwrites.
func (k *Kernel) keep(name, value string) error {
	if name == ipForward && value == "0" {
		if err := k.keepForwarding(); err != nil {
			return err
		}
	}
	return k.originals.Set(name, value)
}

// loadSysctl loads the module that a setting comes with, and reads it.
func (k *Kernel) loadSysctl(ctx context.Context, name string) (string, error) {
	switch {
	case strings.HasPrefix(name, "net.ipv4.vs."):
		if err := loadIPVS(ctx, &k.programs); err != nil {
			return "", err
		}
	case strings.HasPrefix(name, state.ConntrackPrefix):
		if _, err := k.programs.Run(ctx, "", "modprobe", "nf_conntrack"); err != nil {
			return "", err
		}
	}
	value, there, err := readSysctl(name)
	if err == nil && !there {
		err = errors.New("the kernel has no such setting")
	}
	return value, err
}

// removeSysctl puts a host's setting back, unless somebody has changed it since.
// Those of links and of the mesh's namespace go with them.
func (k *Kernel) removeSysctl(_ context.Context, old state.Sysctl) error {
	if !old.Global() {
		return nil
	}
	original, ok := k.originals.Get(old.Name)
	if !ok {
		return nil
	}
	err := k.host.Do(func() error {
		value, there, err := readSysctl(old.Name)
		if err == nil && there && old.Name == ipForward && original == "0" {
			return k.stopForwarding(value)
		}
		if err != nil || !there || value != k.managedValue(old) || value == original {
			return err
		}
		return writeSysctl(old.Name, original)
	})
	if err != nil {
		return fmt.Errorf("put back %s: %w", original, err)
	}
	return k.originals.Delete(old.Name)
}

// managedValue is what we set it to; what was observed may be somebody else's.
func (k *Kernel) managedValue(s state.Sysctl) string {
	for _, m := range k.sysctls {
		if m.NS == s.NS && m.Name == s.Name {
			return m.Value
		}
	}
	return s.Value
}
