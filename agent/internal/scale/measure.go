package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

// bench is the measuring of one size.
type bench struct {
	options
	size map[string]string
	emit func(figure.Figure) error
}

// The goals hold at 5,000 ports × 10 endpoints.
const goalPorts = 5000

// isGoal says whether this is the size that the goals are for, or a smaller one.
func (b *bench) isGoal() bool { return b.ports[0] <= goalPorts && b.nodes[0] <= 10 }

// figure prints a value; the goal, if any, is for the size of the issue.
func (b *bench) figure(name string, value float64, unit string, runs int, goal string) error {
	f := figure.Plain("agent", name, maps.Clone(b.size), value, unit)
	f.Runs = runs
	if goal != "" && b.isGoal() {
		f = f.Want(goal)
	}
	return b.emit(f)
}

// time measures fn several times, each after setup, which may be nil, and prints
// the median in milliseconds.
func (b *bench) time(name, goal string, setup, fn func() error) error {
	var took []float64
	for range b.runs {
		if setup != nil {
			if err := setup(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		runtime.GC() // of what was made before
		began := time.Now()
		if err := fn(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return b.figure(name, median(took), "ms", b.runs, goal)
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

// heap is what the process holds, in MiB, after a collection.
func heap() float64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse) / (1 << 20)
}

// resident is a line of /proc/self/status, VmRSS or VmHWM, in MiB.
func resident(what string) (float64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	return statusMiB(text, what)
}

// statusMiB reads "VmRSS:     1234 kB".
func statusMiB(text []byte, what string) (float64, error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if name != what {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		return kib / 1024, err
	}
	return 0, errors.New("/proc/self/status has no " + what)
}

// profile writes what the CPU does until stop; nothing where path is "".
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "scale:", err)
		}
	}, nil
}
