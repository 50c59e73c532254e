package watch

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// meshWatch is what watches one namespace of the mesh.
type meshWatch struct {
	events *events
	canary *meshCanary
	inode  uint64
}

// follow opens the namespace that is there now and lets go of one that is not:
// an open socket would keep it alive, and the links in it.
func (w *Watch) follow() {
	w.followFolder()
	inode := netns.Inode(w.options.File)
	if w.mesh != nil && w.mesh.inode == inode || w.mesh == nil && inode == 0 {
		return
	}
	w.leaveMesh()
	w.changed()
	if inode == 0 {
		return
	}
	ns, err := netns.Open(w.options.File)
	if err != nil {
		return // gone again: the next look sees what there is then
	}
	defer ns.Close()
	mesh := &meshWatch{inode: inode}
	if mesh.canary, err = newMeshCanary(ns); err != nil {
		return
	}
	if mesh.events, err = w.subscribe(ns, w.options.MeshLinks, w.options.MeshInterests); err != nil {
		mesh.canary.close()
		return
	}
	w.mesh = mesh
}

func (w *Watch) leaveMesh() {
	if w.mesh != nil {
		w.mesh.events.close()
		w.mesh.canary.close()
		w.mesh = nil
	}
}

const folderEvents = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ATTRIB

// followFolder watches the folder of namespaces as soon as there is one. A watch
// of a folder that was removed ends by itself (IN_IGNORED).
func (w *Watch) followFolder() {
	if w.folder != nil {
		return
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return
	}
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(w.options.File), folderEvents|unix.IN_ONLYDIR); err != nil {
		unix.Close(fd)
		return
	}
	w.folder = w.receive(fd, w.folderEvents)
}

// folderEvents reads inotify's events: struct inotify_event and a name each.
func (w *Watch) folderEvents(folder *events, b []byte) {
	for len(b) >= unix.SizeofInotifyEvent {
		mask, size := nlmsg.Uint32(b[4:]), int(nlmsg.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size > len(b) {
			return
		}
		name := strings.TrimRight(string(b[:size]), "\x00")
		b = b[size:]
		if mask&unix.IN_IGNORED != 0 {
			folder.close()
			w.folder = nil
		}
		if name == filepath.Base(w.options.File) || mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED) != 0 {
			w.changed()
		}
	}
}
