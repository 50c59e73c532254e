package host

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// listeners lists the host's listening sockets by port. A file that a kernel
// lacks (no IPv6) is passed over.
//
// Not from /proc/net: that is the namespace of the process's first thread, which
// may be the one that is in the mesh's at the moment (kernel.InMesh).
func (h *Host) listeners() (map[mesh.PortKey][]listener, error) {
	byPort := map[mesh.PortKey][]listener{}
	for _, proto := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
		for _, family := range []string{"", "6"} {
			content, err := os.ReadFile(filepath.Join(h.Proc, "thread-self/net", string(proto)+family))
			if err != nil {
				if family == "" {
					return nil, fmt.Errorf("list the listening sockets: %w", err)
				}
				continue
			}
			for l := range parseProcNet(proto, string(content)) {
				key := mesh.PortKey{Port: l.local.Port(), Protocol: proto}
				byPort[key] = append(byPort[key], l)
			}
		}
	}
	return byPort, nil
}

// process is who has a socket open.
type process struct {
	pid     int
	name    string // as in /proc/PID/comm
	command string // the command line, cut at maxCommand
}

// isKernel: no process has the socket open, so it is the kernel's own, of a
// tunnel or an in-kernel server. Its inode says nothing: VXLAN's has one.
func (p process) isKernel() bool { return p.pid == 0 }

func (p process) String() string {
	if p.isKernel() {
		return "the kernel itself (a tunnel or an in-kernel server)"
	}
	return fmt.Sprintf("%s (pid %d, %s)", p.name, p.pid, p.command)
}

// maxCommand is how many bytes of a command line are worth showing.
const maxCommand = 120

// owners finds the processes that have the sockets open. It reads every
// /proc/PID/fd, so it is asked only when there is something to report; a
// process that ends meanwhile is passed over.
func (h *Host) owners(inodes map[uint64]bool) map[uint64]process {
	found := map[uint64]process{}
	fds, _ := filepath.Glob(filepath.Join(h.Proc, "[0-9]*", "fd", "*")) // the pattern is valid
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil {
			continue
		}
		inode, ok := socketInode(target)
		if !ok || !inodes[inode] {
			continue
		}
		p, ok := readProcess(filepath.Dir(filepath.Dir(fd)))
		// A socket is shared by a server and its workers: the first of them, by pid.
		if old, known := found[inode]; ok && (!known || p.pid < old.pid) {
			found[inode] = p
		}
	}
	return found
}

func socketInode(link string) (uint64, bool) {
	digits, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 64)
	return inode, err == nil
}

func readProcess(dir string) (process, bool) {
	pid, err := strconv.Atoi(filepath.Base(dir))
	if err != nil {
		return process{}, false
	}
	comm, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return process{}, false
	}
	p := process{pid: pid, name: strings.TrimSpace(string(comm))}
	cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // empty for a kernel thread, and that is fine
	p.command = printable(strings.TrimRight(strings.ReplaceAll(string(cmdline), "\x00", " "), " "))
	if p.command == "" {
		p.command = p.name
	}
	return p, true
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if len(s) > maxCommand {
		s = strings.ToValidUTF8(s[:maxCommand], "") + "…"
	}
	return s
}

// Listening names who takes what comes to a port at one of the host's own
// addresses: "nginx (pid 812, nginx: master process) on 0.0.0.0:80".
func (h *Host) Listening(key mesh.PortKey, at netip.Addr) ([]string, error) {
	byPort, err := h.listeners()
	if err != nil {
		return nil, err
	}
	var found []listener
	inodes := map[uint64]bool{}
	for _, l := range byPort[key] {
		if a := l.local.Addr(); a.IsUnspecified() || a == at {
			found = append(found, l)
			inodes[l.inode] = true
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	owners := h.owners(inodes)
	var who []string
	for _, l := range found {
		who = append(who, fmt.Sprintf("%s on %s", owners[l.inode], l.local))
	}
	slices.Sort(who)
	return slices.Compact(who), nil
}
