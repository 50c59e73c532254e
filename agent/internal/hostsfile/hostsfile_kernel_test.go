//go:build kernel

package hostsfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onDisk moves the file to a file system that knows attributes: /tmp may be a tmpfs.
func onDisk(t *testing.T) *File {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "routingmesh-test.*") //nolint:usetesting // see above
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	f := file(t)
	f.path = filepath.Join(dir, "hosts")
	must(t, os.WriteFile(f.path, []byte(original), 0o644))
	return f
}

// TestFile_KeepsAttributes: owner and SELinux context, by which other programs may read it.
func TestFile_KeepsAttributes(t *testing.T) {
	const attribute, context = "security.selinux", "system_u:object_r:net_conf_t:s0\x00"
	f := onDisk(t)
	must(t, os.Chown(f.path, 12, 34))
	must(t, unix.Setxattr(f.path, attribute, []byte(context), 0))
	f.Keep(record(t), "n1")
	expect(t, f, "does not have the names")
	var st unix.Stat_t
	must(t, unix.Stat(f.path, &st))
	if st.Uid != 12 || st.Gid != 34 {
		t.Errorf("it is %d:%d's", st.Uid, st.Gid)
	}
	value := make([]byte, 256)
	n, err := unix.Getxattr(f.path, attribute, value)
	must(t, err)
	if string(value[:n]) != context {
		t.Errorf("its context is %q", value[:n])
	}
}

// TestFile_KernelObstacles: what keeps a file from being replaced is found before it is tried,
// and once that is gone the names are written.
func TestFile_KernelObstacles(t *testing.T) {
	immutable := func(t *testing.T, path string, is int) {
		t.Helper()
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(fd)
		flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
		must(t, err)
		must(t, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags&^unix.STATX_ATTR_IMMUTABLE|is*unix.STATX_ATTR_IMMUTABLE)) // it has the number of FS_IMMUTABLE_FL
	}
	for name, tt := range map[string]struct {
		set, unset func(t *testing.T, path string)
		want       string
	}{
		"immutable": {
			func(t *testing.T, path string) { immutable(t, path, 1) },
			func(t *testing.T, path string) { immutable(t, path, 0) },
			"is immutable",
		},
		"folder": {
			func(t *testing.T, path string) { immutable(t, filepath.Dir(path), 1) },
			func(t *testing.T, path string) { immutable(t, filepath.Dir(path), 0) },
			"immutable folder",
		},
		"mount": {
			func(t *testing.T, path string) { must(t, unix.Mount(path, path, "", unix.MS_BIND, "")) },
			func(t *testing.T, path string) { must(t, unix.Unmount(path, unix.MNT_DETACH)) },
			"a mount of its own",
		},
		"read-only": {
			func(t *testing.T, path string) {
				dir := filepath.Dir(path)
				must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
				must(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
			},
			func(t *testing.T, path string) { must(t, unix.Unmount(filepath.Dir(path), unix.MNT_DETACH)) },
			"mounted read-only",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := onDisk(t)
			tt.set(t, f.path)
			blocked := true
			t.Cleanup(func() {
				if blocked {
					tt.unset(t, f.path)
				}
			})
			f.Keep(record(t), "n1")
			expect(t, f, "")
			if w := f.Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, tt.want) {
				t.Errorf("warnings: %+v", w)
			}
			tt.unset(t, f.path)
			blocked = false
			expect(t, f, "does not have the names")
			if w := f.Warnings(); len(w) != 0 {
				t.Errorf("warnings: %+v", w)
			}
		})
	}
}
