package datapath

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cut stands between the parts of a run's output.
const cut = "-- cut --"

// parseRun reads /proc/stat from before, what the load printed, and /proc/stat from after.
func parseRun(out string, parse func(string) (result, error)) (run, error) {
	parts := strings.Split(out, cut)
	if len(parts) != 3 {
		return run{}, fmt.Errorf("no output of a load in:\n%s", out)
	}
	before, err := parseStat(parts[0])
	if err != nil {
		return run{}, err
	}
	after, err := parseStat(parts[2])
	if err != nil {
		return run{}, err
	}
	r, err := parse(parts[1])
	return run{result: r, cpu: after.minus(before)}, err
}

// parseWrk reads what wrk --latency prints.
func parseWrk(out string) (result, error) {
	var r result
	for line := range strings.Lines(out) {
		if err := r.wrkLine(line); err != nil {
			return r, fmt.Errorf("wrk: %w in:\n%s", err, out)
		}
	}
	if r.PerSec <= 0 || r.Requests <= 0 {
		return r, fmt.Errorf("wrk: no result in:\n%s", out)
	}
	return r, nil
}

func (r *result) wrkLine(line string) (err error) {
	fields := strings.Fields(strings.ReplaceAll(line, ",", ""))
	if len(fields) < 2 {
		return nil
	}
	switch {
	case fields[0] == "50%":
		r.P50, err = milliseconds(fields[1])
	case fields[0] == "99%":
		r.P99, err = milliseconds(fields[1])
	case fields[0] == "Requests/sec:":
		r.PerSec, err = strconv.ParseFloat(fields[1], 64)
	case fields[1] == "requests": // 8878 requests in 5.01s
		r.Requests, err = strconv.Atoi(fields[0])
	case strings.HasPrefix(line, "  Socket errors:"): // connect 0, read 0, write 0, timeout 0
		for _, f := range fields[2:] {
			if n, err := strconv.Atoi(f); err == nil {
				r.Errors += n
			}
		}
	case fields[0] == "Non-2xx": // or 3xx responses: 4
		n, nerr := strconv.Atoi(fields[len(fields)-1])
		r.Errors, err = r.Errors+n, nerr
	}
	return err
}

func milliseconds(s string) (float64, error) {
	d, err := time.ParseDuration(s)
	return float64(d) / float64(time.Millisecond), err
}

// parseCurl reads "CODE BYTES SECONDS" of one download.
func parseCurl(out string) (result, error) {
	var code, bytes int
	var seconds float64
	if _, err := fmt.Sscan(out, &code, &bytes, &seconds); err != nil {
		return result{}, fmt.Errorf("curl: %w in %q", err, out)
	}
	if code != 200 || bytes != bulkBytes || !(seconds > 0) {
		return result{}, fmt.Errorf("curl: answer %d with %d bytes after %g s, not 200 with %d", code, bytes, seconds, bulkBytes)
	}
	return result{Requests: 1, PerSec: float64(bytes) / 1e6 / seconds}, nil
}

// cpuTime is in milliseconds: all that was not idle, and the part of it in which the kernel passed on packets.
type cpuTime struct{ busy, softirq float64 }

func (c cpuTime) minus(o cpuTime) cpuTime { return cpuTime{c.busy - o.busy, c.softirq - o.softirq} }

// Of proc(5): the order of the numbers in the line "cpu", in ticks of USER_HZ, which is 100 everywhere.
const (
	statUser, statNice, statSystem, statIRQ, statSoftirq = 1, 2, 3, 6, 7

	tick = 10 // milliseconds
)

// parseStat reads the line of all CPUs of /proc/stat.
func parseStat(line string) (cpuTime, error) {
	fields := strings.Fields(line)
	if len(fields) <= statSoftirq || fields[0] != "cpu" {
		return cpuTime{}, fmt.Errorf("no line of /proc/stat: %q", line)
	}
	var c cpuTime
	for _, i := range []int{statUser, statNice, statSystem, statIRQ, statSoftirq} {
		n, err := strconv.ParseUint(fields[i], 10, 63)
		if err != nil {
			return cpuTime{}, fmt.Errorf("/proc/stat: %w", err)
		}
		c.busy += float64(n) * tick
		if i == statSoftirq {
			c.softirq = float64(n) * tick
		}
	}
	return c, nil
}
