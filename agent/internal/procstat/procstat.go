// Package procstat tells a process from another one that gets its PID later.
package procstat

import (
	"bytes"
	"errors"
	"strconv"
)

var errNoStart = errors.New("/proc/PID/stat has no start time")

// Parse reads the state (proc(5): 'R', 'S', 'Z' …) and the start time, in clock ticks since the
// boot, of a line of /proc/PID/stat. The name, its second field, may have spaces and
// parentheses in it.
func Parse(line []byte) (state byte, start uint64, err error) {
	const startField = 22 - 3 // after the name, from field 3 on
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) <= startField || len(fields[0]) != 1 || !bytes.ContainsRune(line, ')') {
		return 0, 0, errNoStart
	}
	start, err = strconv.ParseUint(string(fields[startField]), 10, 64)
	if err != nil {
		return 0, 0, errNoStart
	}
	return fields[0][0], start, nil
}

// Ended says that a process in the state only waits for its parent to take note.
func Ended(state byte) bool { return state == 'Z' || state == 'X' }
