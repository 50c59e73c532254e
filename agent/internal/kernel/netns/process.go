package netns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/vishvananda/netns"
)

// ErrEnded says that a process has ended.
var ErrEnded = errors.New("the process has ended")

// OfProcess opens the network namespace of a process that began start clock ticks after the
// boot. It is ErrEnded where that one has ended, even if another one has its PID by now.
func OfProcess(pid int, start uint64) (Handle, error) {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		if _, there := Start(pid); !there {
			return netns.None(), ErrEnded
		}
		return netns.None(), fmt.Errorf("open the network namespace of process %d: %w", pid, err)
	}
	// Looked at after the namespace was opened: it is that of this very process.
	if is, there := Start(pid); !there || is != start {
		return netns.None(), errors.Join(ErrEnded, ns.Close())
	}
	return ns, nil
}

// Runs says that the process that began start clock ticks after the boot has not ended.
func Runs(pid int, start uint64) bool {
	is, there := Start(pid)
	return there && is == start
}

// Start is when a process began, in clock ticks since the boot: field 22 of
// /proc/PID/stat, see proc(5). The second field may have spaces and parentheses in it.
func Start(pid int) (start uint64, there bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const startTime = 22 - 3 // the first one after the name is the third
	if len(fields) <= startTime {
		return 0, false
	}
	start, err = strconv.ParseUint(string(fields[startTime]), 10, 64)
	return start, err == nil
}
