package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/procstat"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

const (
	containerFile = "etc/resolv.conf"
	// maxResolvConf is the most that is read of a container's file. glibc itself takes a
	// few lines.
	maxResolvConf = 64 << 10
	// resolvConfTimeout is for a file system that is the container's own program (FUSE).
	resolvConfTimeout = 2 * time.Second
)

// ContainerResolvers are the nameservers that the container of a process has in its
// /etc/resolv.conf. All of that is the container's choice: links in its path stay below its
// root, and only a regular file is opened.
func ContainerResolvers(ctx context.Context, proc string, of state.Process) ([]netip.Addr, error) {
	type answer struct {
		content []byte
		err     error
	}
	read := make(chan answer, 1)
	go func() {
		content, err := readInContainer(proc, of)
		read <- answer{content, err}
	}()
	timed, cancel := context.WithTimeout(ctx, resolvConfTimeout)
	defer cancel()
	select {
	case a := <-read:
		return ParseResolvers(string(a.content)), a.err
	case <-timed.Done():
		return nil, timed.Err()
	}
}

func readInContainer(proc string, of state.Process) ([]byte, error) {
	pid := filepath.Join(proc, strconv.Itoa(of.PID))
	root, err := unix.Open(filepath.Join(pid, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the root folder of process %d: %w", of.PID, err)
	}
	defer unix.Close(root)
	// Looked at after the folder was opened: it is that of this very process.
	stat, err := os.ReadFile(filepath.Join(pid, "stat"))
	if err != nil {
		return nil, err
	}
	if at, start, err := procstat.Parse(bytes.TrimSpace(stat)); err != nil || start != of.Start || procstat.Ended(at) {
		return nil, fmt.Errorf("process %d has ended", of.PID)
	}
	return readRegular(root, containerFile)
}

// readRegular reads a file below a folder. With O_PATH nothing is opened yet: to open a device
// may do something.
func readRegular(folder int, name string) ([]byte, error) {
	found, err := unix.Openat2(folder, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, fmt.Errorf("find /%s: %w", name, err)
	}
	defer unix.Close(found)
	var stat unix.Stat_t
	if err := unix.Fstat(found, &stat); err != nil {
		return nil, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("/%s is not a regular file", name)
	}
	file, err := os.Open("/proc/self/fd/" + strconv.Itoa(found))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxResolvConf+1))
	if len(content) > maxResolvConf {
		err = errors.Join(err, fmt.Errorf("/%s has more than %d bytes", name, maxResolvConf))
	}
	return content, err
}

// dockerResolver is where Docker answers in a container on a network of its own; it asks the
// resolvers that the container was started with from the container's namespace.
var dockerResolver = netip.MustParseAddr("127.0.0.11")

// LeadToMesh says that a container with these nameservers asks the mesh's resolver: the first
// one decides, for what it does not know no other one is asked.
func LeadToMesh(nameservers []netip.Addr, resolver netip.Addr) bool {
	return len(nameservers) > 0 && (nameservers[0] == resolver || nameservers[0] == dockerResolver)
}
