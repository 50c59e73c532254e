package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// OwnFiles are what install has put in place for the running program, whose
// digest is given. One that was started from elsewhere has none to look after.
func (i *Installer) OwnFiles(digest string) []reconcile.File {
	exe, err := os.Readlink(layout.OwnExecutable)
	if err != nil || strings.TrimSuffix(exe, " (deleted)") != i.Binary(digest) {
		return nil
	}
	return i.filesOf(digest)
}

func (i *Installer) filesOf(digest string) []reconcile.File {
	mine := installed{Installer: i, digest: digest}
	files := []reconcile.File{
		&ownFile{installed: mine, what: "program", path: i.Binary(digest), judge: programFault, repair: placeAgain},
		&ownFile{installed: mine, what: "link", path: i.Link(), judge: linkFault, repair: placeAgain},
	}
	if s, ok := i.initSystem().(*systemd); ok {
		configure := func(ctx context.Context, _ installed) error {
			_, err := s.configure(ctx)
			return err
		}
		files = append(files,
			&ownFile{installed: mine, what: "systemd unit", path: i.Unit(), judge: unitFault, repair: configure},
			&ownFile{installed: mine, what: "systemd unit", path: i.SetsUnit(), judge: setsUnitFault, repair: configure},
		)
	}
	return files
}

// installed is the version that the running program is.
type installed struct {
	*Installer
	digest string
}

// ownFile is a reconcile.File.
type ownFile struct {
	installed
	what, path string
	judge      func(installed, *host.Signature) (fault string)
	repair     func(context.Context, installed) error

	mu   sync.Mutex
	seen host.Signature // of a file that was right
}

// Check implements reconcile.File. Where another version has been installed, or
// somebody is installing or uninstalling right now, the files are theirs.
func (f *ownFile) Check() state.OwnFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	checked := state.OwnFile{What: f.what, Path: f.path, Fault: f.fault()}
	if checked.Fault == "" {
		return checked
	}
	release, err := f.TryHoldInstall()
	if errors.Is(err, unix.EWOULDBLOCK) {
		checked.Fault = ""
	} else if err == nil {
		release()
	}
	return checked
}

func (f *ownFile) fault() string {
	if f.superseded() {
		return ""
	}
	return f.judge(f.installed, &f.seen)
}

// Repair implements reconcile.File.
func (f *ownFile) Repair(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	release, err := f.TryHoldInstall()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil // see Check
	}
	if err != nil {
		return err
	}
	defer release()
	if f.fault() == "" {
		return nil
	}
	return f.repair(ctx, f.installed)
}

func placeAgain(_ context.Context, i installed) error { return i.placeBinary(i.digest) }

// superseded says that the link leads to another version that is whole enough to
// start: it was installed after this one.
func (i installed) superseded() bool {
	to, err := os.Readlink(i.Link())
	if err != nil || to == i.Binary(i.digest) || !strings.HasPrefix(to, i.LibDir()+"/") {
		return false
	}
	info, err := os.Stat(to)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o100 != 0
}

const noRestart = "so that the agent would not start again"

func programFault(i installed, seen *host.Signature) string {
	path := i.Binary(i.digest)
	now := host.SignatureOf(path)
	switch now {
	case host.Signature{}:
		return "is missing, " + noRestart
	case *seen:
		return ""
	}
	if have, err := layout.FileDigest(path); err != nil || have != i.digest {
		return "is not the program that runs, " + noRestart
	}
	*seen = now
	return ""
}

func linkFault(i installed, _ *host.Signature) string {
	switch to, err := os.Readlink(i.Link()); {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing, " + noRestart
	case err != nil:
		return "is something else, " + noRestart
	case to != i.Binary(i.digest):
		return fmt.Sprintf("leads to %s, %s", to, noRestart)
	}
	return ""
}

const noBoot = "so that the agent would not start at the next boot"

func unitFault(i installed, seen *host.Signature) string {
	return unitFileFault(i.Unit(), unitText(i.Layout), i.Wants(), seen, noBoot, "so that the agent may not start, or start too early, at the next boot")
}

const noSets = "so that firewall rules which were saved with the mesh's may not be loaded at the next boot"

func setsUnitFault(i installed, seen *host.Signature) string {
	return unitFileFault(i.SetsUnit(), setsUnitText(i.Layout), i.SetsWants(), seen, noSets, noSets)
}

// unitFileFault is what is wrong with a unit's file or the link that enables it,
// and what comes of it where it is not there or has been changed.
func unitFileFault(path, text, wants string, seen *host.Signature, missing, changed string) string {
	if now := host.SignatureOf(path); now != *seen || now == (host.Signature{}) {
		have, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "is missing, " + missing
		}
		if err != nil || string(have) != text {
			return "has been changed, " + changed
		}
		*seen = now
	}
	if to, err := os.Readlink(wants); err != nil || filepath.Base(to) != filepath.Base(path) {
		return "is not enabled, " + missing
	}
	return ""
}
