package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// file is where a setting is. Below /proc/sys/net a thread sees the settings of the namespace that it is in.
func file(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// Read returns false for a setting that is not there: its link or its module is not.
// It reads in the namespace of the calling thread.
func Read(name string) (string, bool, error) {
	value, err := os.ReadFile(file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return strings.TrimSpace(string(value)), err == nil, err
}

// Write writes a setting in the namespace of the calling thread.
func Write(name, value string) error {
	return os.WriteFile(file(name), []byte(value), 0)
}

// Originals keeps what the host was like before: its own kernel settings, by their
// dotted names, and what was absent. A setting that is in it is claimed: it is
// observed, and put back by a Remove.
type Originals interface {
	Get(name string) (value string, ok bool)
	Set(name, value string) error
	Delete(name string) error
}

// Settings are those that the mesh manages, of the host and of its own namespace.
type Settings struct {
	originals Originals
	root      string // of the files that configure the host
	managed   []state.ManagedSysctl
	load      func(ctx context.Context, name string) error
}

// New returns the settings that a kernel of the version has. The host's configuration
// is below root. load loads the module
// that a setting comes with, if it comes with one.
func New(originals Originals, root string, version state.KernelVersion, load func(ctx context.Context, name string) error) *Settings {
	return &Settings{originals: originals, root: root, managed: managed(version), load: load}
}

// managed is every setting that compile may ask for, whatever its value.
func managed(version state.KernelVersion) []state.ManagedSysctl {
	all := append(state.ManagedSysctls(version), state.NetworkSysctls()...)
	for _, o := range state.Idle(0, 0) {
		if s, ok := o.(state.Sysctl); ok {
			all = append(all, state.ManagedSysctl{Sysctl: s})
		}
	}
	return all
}

// Observe reads the settings that we manage in a namespace, links being ours in it.
// Those of the whole host are observed only when claimed: others may have their own
// idea.
func (s *Settings) Observe(space *netns.Space, ns state.NS, links []string, into state.State) error {
	return space.Do(func() error {
		for _, m := range s.managed {
			if m.NS != ns || m.Global() && !s.claimed(m.Name) || !onLinks(m.Name, links) {
				continue
			}
			value, there, err := Read(m.Name)
			if err != nil {
				return err
			}
			if there && value != m.Default {
				into.Put(state.Sysctl{NS: ns, Name: m.Name, Value: value})
			}
		}
		return nil
	})
}

// onLinks is false for a setting of a link that is not ours.
func onLinks(name string, links []string) bool {
	link := LinkOf(name)
	return link == "" || slices.Contains(links, link)
}

// LinkOf is the link in "net.ipv4.conf.rmesh0.rp_filter", "" for no link's.
func LinkOf(name string) string {
	rest, ok := strings.CutPrefix(name, "net.ipv4.conf.")
	link, _, _ := strings.Cut(rest, ".")
	if !ok || link == "all" || link == "default" {
		return ""
	}
	return link
}

func (s *Settings) claimed(name string) bool {
	_, ok := s.originals.Get(name)
	return ok
}

// Put writes a setting. The first write of a host's setting keeps what it was, on
// disk before the write: a crash between the two loses nothing.
func (s *Settings) Put(ctx context.Context, space *netns.Space, want state.Sysctl) error {
	return space.Do(func() error {
		value, there, err := Read(want.Name)
		if err == nil && !there {
			value, err = s.loaded(ctx, want.Name)
		}
		if err != nil {
			return err
		}
		if want.Global() && !s.claimed(want.Name) {
			if err := s.keep(want.Name, value); err != nil {
				return fmt.Errorf("keep the value from before (%s): %w", value, err)
			}
		}
		if value == want.Value {
			return nil
		}
		return Write(want.Name, want.Value)
	})
}

// keep keeps what a host's setting was, and before that what its write overwrites.
func (s *Settings) keep(name, value string) error {
	if name == ipForward && value == "0" {
		if err := s.keepForwarding(); err != nil {
			return err
		}
	}
	return s.originals.Set(name, value)
}

// loaded loads the module that a setting comes with, and reads it.
func (s *Settings) loaded(ctx context.Context, name string) (string, error) {
	if err := s.load(ctx, name); err != nil {
		return "", err
	}
	value, there, err := Read(name)
	if err == nil && !there {
		err = errors.New("the kernel has no such setting")
	}
	return value, err
}

// Remove puts a setting of the host back, unless somebody has changed it since, and one of
// the mesh's namespace that not each node asks for. The others go with their link, or with
// the namespace, which is nil where it has gone.
func (s *Settings) Remove(host, mesh *netns.Space, old state.Sysctl) error {
	if value := s.defaultOf(old); value != "" && mesh != nil {
		return mesh.Do(func() error { return Write(old.Name, value) })
	}
	if !old.Global() {
		return nil
	}
	original, ok := s.originals.Get(old.Name)
	if !ok {
		return nil
	}
	err := host.Do(func() error {
		value, there, err := Read(old.Name)
		if err == nil && there && old.Name == ipForward && original == "0" {
			return s.stopForwarding(value)
		}
		if err != nil || !there || value != s.managedValue(old) || value == original {
			return err
		}
		return Write(old.Name, original)
	})
	if err != nil {
		return fmt.Errorf("put back %s: %w", original, err)
	}
	return s.originals.Delete(old.Name)
}

// defaultOf is the value of a setting that not each node asks for, while nothing does.
func (s *Settings) defaultOf(set state.Sysctl) string {
	for _, m := range s.managed {
		if m.NS == set.NS && m.Name == set.Name {
			return m.Default
		}
	}
	return ""
}

// managedValue is what we set it to; what was observed may be somebody else's.
func (s *Settings) managedValue(set state.Sysctl) string {
	for _, m := range s.managed {
		if m.NS == set.NS && m.Name == set.Name {
			return m.Value
		}
	}
	return set.Value
}
