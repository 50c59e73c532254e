package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Place is where the program is installed: the versions, and the link to the
// one that is in use.
type Place struct{ Lib, Link string }

// Places are in the order of trying. /usr/local is read-only on hosts whose
// system is an image (Flatcar, ostree, Talos-like), and there may be no /opt. The
// provider looks for the links in the same order: agentDirs in
// internal/meshclient/agentapi/script.go.
var Places = []Place{
	{"usr/local/lib/routingmesh", "usr/local/bin/routingmesh-agent"},
	{"opt/routingmesh/lib", "opt/routingmesh/bin/routingmesh-agent"},
	{"var/lib/routingmesh/lib", "var/lib/routingmesh/bin/routingmesh-agent"},
}

// place is the chosen one, else the one that has been installed to, else the
// first.
func (l Layout) place() Place {
	if l.chosen != nil {
		return *l.chosen
	}
	for _, pl := range Places {
		if to, err := os.Readlink(l.Path(pl.Link)); err == nil && strings.HasPrefix(to, l.Path(pl.Lib)+"/") {
			return pl
		}
	}
	return Places[0]
}

// at is the layout with another place.
func (l Layout) at(pl Place) Layout {
	l.chosen = &pl
	return l
}

// OfProgram keeps to the place that the running program is in, also when its link
// is missing.
func (l Layout) OfProgram(exe string) Layout {
	for _, pl := range Places {
		if strings.HasPrefix(exe, l.Path(pl.Lib)+"/") {
			return l.at(pl)
		}
	}
	return l
}

// ChoosePlace finds the first place that can be written and run from. The one
// that has been installed to goes first.
func (l Layout) ChoosePlace(check func(lib, bin string) error) (Layout, error) {
	var problems []error
	for _, pl := range append([]Place{l.place()}, Places...) {
		err := check(l.Path(pl.Lib), filepath.Dir(l.Path(pl.Link)))
		if err == nil {
			return l.at(pl), nil
		}
		problems = append(problems, err)
	}
	return l, fmt.Errorf("no place takes the agent: %w", errors.Join(problems[1:]...))
}

// Usable makes the folders, if they can be written and programs in them run.
func Usable(lib, bin string) error {
	for _, dir := range []string{lib, bin} {
		if err := PublicDir(dir); err != nil {
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
