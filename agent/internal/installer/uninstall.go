package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/hostsfile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/node"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Uninstall takes everything of the mesh off the host: the service, the kernel
// state, then the files. It works on what a half-finished install has left, and
// again when it was cut itself: the program goes last, and not if the kernel
// could not be cleaned.
func (i *Installer) Uninstall(ctx context.Context) error {
	if err := i.NeedRoot("removing the mesh"); err != nil {
		return err
	}
	release, err := i.lockFiles(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := i.initSystem().remove(ctx); err != nil {
		return fmt.Errorf("stop the agent: %w", err)
	}
	if err := i.nobodyRuns(); err != nil {
		return err
	}
	removed, err := i.clearKernel(ctx)
	if err != nil {
		return fmt.Errorf("remove the mesh from the kernel (run it again after repairing this): %w", err)
	}
	i.report("kernel state: %d objects removed", removed)
	return i.removeFiles()
}

// lockFiles keeps a running agent from repairing what is taken away. Without its
// folder there is none.
func (i *Installer) lockFiles(ctx context.Context) (release func(), err error) {
	if _, err := os.Stat(i.RunDir()); errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	return i.HoldInstall(ctx)
}

func (i *Installer) report(format string, args ...any) { fmt.Fprintf(i.Stdout, format+"\n", args...) }

// nobodyRuns makes sure that no agent would put back what is removed.
func (i *Installer) nobodyRuns() error {
	if _, err := os.Stat(i.RunDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	release, err := i.HoldAgent()
	if err != nil {
		return err
	}
	release()
	return nil
}

func (i *Installer) clearKernel(ctx context.Context) (int, error) {
	k, err := node.OpenKernel(i.Layout, i.Log)
	if err != nil {
		return 0, err
	}
	defer k.Close()
	release, err := host.KernelRelease()
	if err != nil {
		return 0, err
	}
	firewalld, err := node.Firewalld(ctx, i.Layout, nil, i.Log)
	if err != nil {
		return 0, err
	}
	return reconcile.New(reconcile.Options{
		Kernel: k, Version: state.ParseKernelVersion(release), Log: i.Log, Firewall: firewalld, HostsFile: hostsfile.New(i.HostsFile()),
	}).Clear(ctx)
}

// removeFiles removes what install and run have made; the program goes last.
func (i *Installer) removeFiles() error {
	half, err := i.halfWritten()
	if err != nil {
		return err
	}
	for _, path := range append(half, i.Unit(), i.SetsUnit(), i.StateDir(), i.RunDir()) {
		if _, err := os.Lstat(path); err != nil {
			if err := ignoreMissing(err); err != nil {
				return err
			}
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		i.report("removed %s", path)
	}
	return i.removePlaces()
}

// uploadDirs are where the provider puts the program before it installs itself:
// installBases in internal/meshclient/agentapi/install.go.
var uploadDirs = []string{"usr/local/lib", "opt", "var/lib"}

// halfWritten are the files that an install has left which was killed before it
// could rename them, outside of the folders that are the agent's own.
func (i *Installer) halfWritten() ([]string, error) {
	var units []string
	for _, name := range []string{layout.UnitName, layout.SetsUnitName} {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(i.Unit()), "."+name+".*")) // see host.WriteFile
		if err != nil {
			return nil, err
		}
		units = append(units, found...)
	}
	hosts, err := filepath.Glob(filepath.Join(filepath.Dir(i.HostsFile()), host.HalfRewritten(i.HostsFile())))
	if err != nil {
		return nil, err
	}
	units = append(units, hosts...)
	for _, pl := range layout.Places {
		links, err := filepath.Glob(i.Path(pl.Link) + ".*") // see placeBinary
		if err != nil {
			return nil, err
		}
		for _, path := range links {
			if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, i.Path(pl.Lib)+"/") {
				units = append(units, path)
			}
		}
	}
	for _, dir := range uploadDirs {
		uploads, err := filepath.Glob(i.Path(dir, "routingmesh.??????"))
		if err != nil {
			return nil, err
		}
		units = append(units, uploads...)
	}
	return units, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
