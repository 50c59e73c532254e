package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// uninstall takes everything of the mesh off the host: the service, the kernel
// state, then the files. It works on what a half-finished install has left, and
// again when it was cut itself: the program goes last, and not if the kernel
// could not be cleaned.
func (p *program) uninstall(ctx context.Context) error {
	if err := p.needRoot("removing the mesh"); err != nil {
		return err
	}
	release, err := p.lockFiles(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := p.initSystem().remove(ctx); err != nil {
		return fmt.Errorf("stop the agent: %w", err)
	}
	if err := p.nobodyRuns(); err != nil {
		return err
	}
	removed, err := p.clearKernel(ctx)
	if err != nil {
		return fmt.Errorf("remove the mesh from the kernel (run it again after mending this): %w", err)
	}
	p.report("kernel state: %d objects removed", removed)
	return p.removeFiles()
}

// lockFiles keeps a running agent from mending what is taken away. Without its
// folder there is none.
func (p *program) lockFiles(ctx context.Context) (release func(), err error) {
	if _, err := os.Stat(p.runDir()); errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	return p.lockInstall(ctx)
}

func (p *program) report(format string, args ...any) { fmt.Fprintf(p.stdout, format+"\n", args...) }

// nobodyRuns makes sure that no agent would put back what is removed.
func (p *program) nobodyRuns() error {
	if _, err := os.Stat(p.runDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	release, err := p.acquire()
	if err != nil {
		return err
	}
	release()
	return nil
}

func (p *program) clearKernel(ctx context.Context) (int, error) {
	k, err := p.openKernel()
	if err != nil {
		return 0, err
	}
	defer k.Close()
	release, err := host.KernelRelease()
	if err != nil {
		return 0, err
	}
	firewalld, err := p.firewalld(ctx, nil)
	if err != nil {
		return 0, err
	}
	return reconcile.New(reconcile.Options{Kernel: k, Version: state.ParseKernelVersion(release), Log: p.log, Firewall: firewalld}).Clear(ctx)
}

// removeFiles removes what install and run have made; the program goes last.
func (p *program) removeFiles() error {
	half, err := p.halfWritten()
	if err != nil {
		return err
	}
	for _, path := range append(half, p.unit(), p.setsUnit(), p.stateDir(), p.runDir()) {
		if _, err := os.Lstat(path); err != nil {
			if err := ignoreMissing(err); err != nil {
				return err
			}
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		p.report("removed %s", path)
	}
	return p.removePlaces()
}

// halfWritten are the files that an install has left which was killed before it
// could rename them, outside of the folders that are the agent's own.
func (p *program) halfWritten() ([]string, error) {
	var units []string
	for _, name := range []string{unitName, setsUnitName} {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(p.unit()), "."+name+".*")) // see host.WriteFile
		if err != nil {
			return nil, err
		}
		units = append(units, found...)
	}
	for _, pl := range places {
		links, err := filepath.Glob(p.path(pl.link) + ".*") // see placeBinary
		if err != nil {
			return nil, err
		}
		for _, path := range links {
			if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, p.path(pl.lib)+"/") {
				units = append(units, path)
			}
		}
	}
	for _, dir := range uploadDirs {
		uploads, err := filepath.Glob(p.path(dir, "routingmesh.??????"))
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
