package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile replaces path with data, durably: written beside it, synced,
// renamed over it, and the directory synced.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	return replace(path, "."+filepath.Base(path)+".*", data, func(tmp *os.File) error { return tmp.Chmod(mode) })
}

// ErrChanged says that somebody else has written a file meanwhile.
var ErrChanged = errors.New("it has been changed meanwhile")

// RewriteFile replaces what is in a file that is not ours, as WriteFile does: owner, mode,
// access list and SELinux context stay as they are. It is ErrChanged where the file is not the
// one of the Signature any more.
func RewriteFile(path string, was Signature, data []byte) error {
	return replace(path, HalfRewritten(path), data, func(tmp *os.File) error {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return fmt.Errorf("look at %s: %w", path, err)
		}
		if err := errors.Join(tmp.Chown(int(st.Uid), int(st.Gid)), tmp.Chmod(os.FileMode(st.Mode&0o777))); err != nil {
			return err
		}
		for _, name := range []string{"system.posix_acl_access", "security.selinux"} {
			if err := copyAttribute(path, tmp, name); err != nil {
				return err
			}
		}
		if SignatureOf(path) != was {
			return ErrChanged
		}
		return nil
	})
}

// HalfRewritten matches what RewriteFile leaves in the folder if it is killed.
func HalfRewritten(path string) string { return "." + filepath.Base(path) + ".routingmesh.*" }

// copyAttribute copies an extended attribute, if there is one.
func copyAttribute(path string, to *os.File, name string) error {
	value := make([]byte, 1<<16)
	n, err := unix.Getxattr(path, name, value)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err == nil {
		err = unix.Fsetxattr(int(to.Fd()), name, value[:n], 0)
	}
	if err != nil {
		return fmt.Errorf("copy %s of %s: %w", name, path, err)
	}
	return nil
}

// replace puts data in the place of path, by a file of the pattern that finish has made ready.
func replace(path, pattern string, data []byte, finish func(tmp *os.File) error) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err == nil {
		err = finish(tmp)
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", tmp.Name(), err)
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
