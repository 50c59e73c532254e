package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

// removePlaces removes what install has put into any place, and the folders of
// /opt/routingmesh that are empty then. A link of that name that leads elsewhere
// is not ours.
func (i *Installer) removePlaces() error {
	for _, pl := range layout.Places {
		link, lib := i.Path(pl.Link), i.Path(pl.Lib)
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, lib+"/") {
			if err := os.Remove(link); err != nil {
				return err
			}
			i.report("removed %s", link)
		}
		if _, err := os.Lstat(lib); err == nil {
			if err := os.RemoveAll(lib); err != nil {
				return err
			}
			i.report("removed %s", lib)
		}
	}
	for _, dir := range []string{"opt/routingmesh/bin", "opt/routingmesh"} {
		if err := os.Remove(i.Path(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

const restoreconTimeout = 30 * time.Second

// restoreContexts gives the files the SELinux contexts that the host's policy has
// for their paths: a program that was moved into place keeps another one, with
// which systemd may not run it. Hosts without SELinux have nothing to restore.
func (i *Installer) restoreContexts(ctx context.Context) {
	if _, err := os.Stat(i.Path("sys/fs/selinux/enforce")); err != nil {
		return
	}
	restorecon, err := exec.LookPath("restorecon")
	if err != nil {
		restorecon = "/usr/sbin/restorecon"
	}
	ctx, cancel := context.WithTimeout(ctx, restoreconTimeout)
	defer cancel()
	paths := []string{i.LibDir(), i.Link()}
	if _, err := os.Lstat(i.Unit()); err == nil {
		paths = append(paths, i.Unit())
	}
	cmd := exec.CommandContext(ctx, restorecon, append([]string{"-R", "-F"}, paths...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(i.Stderr, "SELinux is on, and the file contexts could not be restored: %v: %s\n", err, strings.TrimSpace(string(out)))
	}
}
