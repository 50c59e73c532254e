package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Measure is what one run of wrk found.
type Measure struct {
	RPS    float64 `json:"rps"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Errors int     `json:"errors"`
}

// parseWrk reads what wrk --latency prints.
func parseWrk(out string) (Measure, error) {
	var m Measure
	var err error
	seen := false
	for line := range strings.Lines(out) {
		fields := strings.Fields(strings.ReplaceAll(line, ",", ""))
		if len(fields) < 2 || err != nil {
			continue
		}
		switch {
		case fields[0] == "50%":
			m.P50, err = milliseconds(fields[1])
		case fields[0] == "99%":
			m.P99, err = milliseconds(fields[1])
		case fields[0] == "Requests/sec:":
			seen = true
			m.RPS, err = strconv.ParseFloat(fields[1], 64)
		case strings.HasPrefix(line, "  Socket errors:"): // connect 0, read 0, write 0, timeout 0
			for _, f := range fields[2:] {
				if n, err := strconv.Atoi(f); err == nil {
					m.Errors += n
				}
			}
		case fields[0] == "Non-2xx":
			n, _ := strconv.Atoi(fields[len(fields)-1])
			m.Errors += n
		}
	}
	if err == nil && !seen {
		err = fmt.Errorf("no result")
	}
	if err != nil {
		return m, fmt.Errorf("wrk: %w in:\n%s", err, out)
	}
	return m, nil
}

func milliseconds(s string) (float64, error) {
	d, err := time.ParseDuration(s)
	return float64(d) / float64(time.Millisecond), err
}
