package installer

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

// Under any umask (an install's is 077) programs can be run by everybody, so that a user
// is told what root is needed for, and the state is root's alone.
func TestModes_AnyUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		t.Run(fmt.Sprintf("%03o", umask), func(t *testing.T) {
			for _, pl := range layout.Places {
				modesIn(t, umask, pl)
			}
		})
	}
}

func modesIn(t *testing.T, umask int, pl layout.Place) {
	t.Helper()
	i, _, _ := newInstaller(t)
	there := i.Path("usr") // somebody else's, with a mode of its own
	agenttest.Must(t, os.MkdirAll(there, 0o750))
	agenttest.Must(t, os.Chmod(there, 0o750))
	old := unix.Umask(umask)
	defer unix.Umask(old)
	var err error
	if i.Layout, err = i.ChoosePlace(func(lib, bin string) error {
		if lib != i.Path(pl.Lib) {
			return fs.ErrPermission
		}
		return layout.Usable(lib, bin)
	}); err != nil {
		t.Fatal(err)
	}
	digest, err := layout.FileDigest(layout.OwnExecutable)
	agenttest.Must(t, err)
	agenttest.Must(t, i.placeBinary(digest))
	agenttest.Must(t, layout.PrivateDir(i.StateDir()))
	agenttest.Must(t, layout.PrivateDir(i.RunDir()))
	want := map[string]fs.FileMode{i.StateDir(): 0o700, i.RunDir(): 0o700, there: 0o750}
	agenttest.Must(t, filepath.WalkDir(i.Root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == i.Root || e.Type() == fs.ModeSymlink {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		mode, ok := want[path]
		if !ok {
			mode = 0o755
		}
		if got := info.Mode().Perm(); got != mode {
			t.Errorf("umask %03o: %s has %03o, want %03o", umask, path, got, mode)
		}
		return nil
	}))
}
