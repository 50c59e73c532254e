package host

import "golang.org/x/sys/unix"

// Signature tells whether a file may have changed since it was read, without
// reading it. The zero Signature is that of no file.
type Signature struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// SignatureOf follows links. A file that cannot be looked at has the zero
// Signature.
func SignatureOf(path string) Signature {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Signature{}
	}
	return Signature{dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim} //nolint:unconvert // Dev has another type on other architectures
}
