package tfrun

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// watchEvery is how far before a provider's end its last figures may be.
const watchEvery = 20 * time.Millisecond

// watch follows the process that Terraform, the parent, starts as its provider. The returned function ends
// that, and says what it took: Terraform does not wait for it in a way that the kernel would tell us.
func watch(parent int) func() Usage {
	stop, result := make(chan struct{}), make(chan Usage)
	go func() {
		var u Usage
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				result <- u
				return
			case <-tick.C:
				for _, child := range children(parent) {
					rss, cpu := taken(child)
					u.PeakRSS, u.CPU = max(u.PeakRSS, rss), max(u.CPU, cpu)
				}
			}
		}
	}()
	return func() Usage {
		close(stop)
		return <-result
	}
}

// children lists the processes that any thread of parent has started.
func children(parent int) []int {
	var all []int
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent)) // gone: nothing to add
	for _, t := range threads {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", parent, t.Name()))
		for field := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil {
				all = append(all, pid)
			}
		}
	}
	return all
}

// tick is the kernel's USER_HZ, 100 on every architecture of ours.
const tick = 10 * time.Millisecond

// taken reads the highest RSS in bytes and the CPU time of a process so far.
func taken(pid int) (rss int64, cpu time.Duration) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, after, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
		var kib int64
		if _, err := fmt.Sscan(string(after[:min(len(after), 40)]), &kib); err == nil {
			rss = kib << 10
		}
	}
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if i := bytes.LastIndexByte(stat, ')'); i >= 0 {
		if f := strings.Fields(string(stat[i+1:])); len(f) > 12 {
			user, _ := strconv.ParseInt(f[11], 10, 64)
			system, _ := strconv.ParseInt(f[12], 10, 64)
			cpu = time.Duration(user+system) * tick
		}
	}
	return rss, cpu
}
