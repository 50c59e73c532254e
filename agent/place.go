package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// place is where the program is installed: the versions, and the link to the
// one that is in use.
type place struct{ lib, link string }

// places are in the order of trying. /usr/local is read-only on hosts whose
// system is an image (Flatcar, ostree, Talos-like), and there may be no /opt. The
// provider looks for the links in the same order: agentDirs in
// internal/meshclient/shell.go.
var places = []place{
	{"usr/local/lib/routingmesh", "usr/local/bin/routingmesh-agent"},
	{"opt/routingmesh/lib", "opt/routingmesh/bin/routingmesh-agent"},
	{"var/lib/routingmesh/lib", "var/lib/routingmesh/bin/routingmesh-agent"},
}

// uploadDirs are where the provider puts the program before it installs itself:
// installBases in internal/meshclient/install.go.
var uploadDirs = []string{"usr/local/lib", "opt", "var/lib"}

// place is the chosen one, else the one that has been installed to, else the
// first.
func (l layout) place() place {
	if l.chosen != nil {
		return *l.chosen
	}
	for _, pl := range places {
		if to, err := os.Readlink(l.path(pl.link)); err == nil && strings.HasPrefix(to, l.path(pl.lib)+"/") {
			return pl
		}
	}
	return places[0]
}

// at is the layout with another place.
func (l layout) at(pl place) layout {
	l.chosen = &pl
	return l
}

// ofProgram keeps to the place that the running program is in, also when its link
// is missing.
func (l layout) ofProgram(exe string) layout {
	for _, pl := range places {
		if strings.HasPrefix(exe, l.path(pl.lib)+"/") {
			return l.at(pl)
		}
	}
	return l
}

// choosePlace finds the first place that can be written and run from. The one
// that has been installed to goes first.
func (l layout) choosePlace(check func(lib, bin string) error) (layout, error) {
	var problems []error
	for _, pl := range append([]place{l.place()}, places...) {
		err := check(l.path(pl.lib), filepath.Dir(l.path(pl.link)))
		if err == nil {
			return l.at(pl), nil
		}
		problems = append(problems, err)
	}
	return l, fmt.Errorf("no place takes the agent: %w", errors.Join(problems[1:]...))
}

// usable makes the folders, if they can be written and programs in them run.
func usable(lib, bin string) error {
	for _, dir := range []string{lib, bin} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Access(dir, unix.W_OK); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(lib, &st); err != nil {
		return fmt.Errorf("%s: %w", lib, err)
	}
	if st.Flags&unix.ST_NOEXEC != 0 {
		return fmt.Errorf("%s is mounted noexec", lib)
	}
	return nil
}

// removePlaces removes what install has put into any place, and the folders of
// /opt/routingmesh that are empty then. A link of that name that leads elsewhere
// is not ours.
func (p *program) removePlaces() error {
	for _, pl := range places {
		link, lib := p.path(pl.link), p.path(pl.lib)
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, lib+"/") {
			if err := os.Remove(link); err != nil {
				return err
			}
			p.report("removed %s", link)
		}
		if _, err := os.Lstat(lib); err == nil {
			if err := os.RemoveAll(lib); err != nil {
				return err
			}
			p.report("removed %s", lib)
		}
	}
	for _, dir := range []string{"opt/routingmesh/bin", "opt/routingmesh"} {
		if err := os.Remove(p.path(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

const restoreconTimeout = 30 * time.Second

// restoreContexts gives the files the SELinux contexts that the host's policy has
// for their paths: a program that was moved into place keeps another one, with
// which systemd may not run it. Hosts without SELinux have nothing to restore.
func (p *program) restoreContexts(ctx context.Context) {
	if _, err := os.Stat(p.path("sys/fs/selinux/enforce")); err != nil {
		return
	}
	restorecon, err := exec.LookPath("restorecon")
	if err != nil {
		restorecon = "/usr/sbin/restorecon"
	}
	ctx, cancel := context.WithTimeout(ctx, restoreconTimeout)
	defer cancel()
	paths := []string{p.libDir(), p.link()}
	if _, err := os.Lstat(p.unit()); err == nil {
		paths = append(paths, p.unit())
	}
	cmd := exec.CommandContext(ctx, restorecon, append([]string{"-R", "-F"}, paths...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(p.stderr, "SELinux is on, and the file contexts could not be restored: %v: %s\n", err, strings.TrimSpace(string(out)))
	}
}
