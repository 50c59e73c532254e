package netns

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netns"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/procstat"
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

// Start is when a process began, in clock ticks since the boot; there is false for one that
// has ended.
func Start(pid int) (start uint64, there bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	state, start, err := procstat.Parse(stat)
	return start, err == nil && !procstat.Ended(state)
}
