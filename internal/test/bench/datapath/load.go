package datapath

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

const (
	bulkPath  = "/bulk"
	bulkBytes = 256 << 20
)

// Seconds of wrk. Where instructions are counted two are enough.
const (
	long  = 5
	short = 2
)

// Names of loads.
const (
	keptConnections = "kept connections"
	newConnections  = "new connections"
	download        = "download"
)

// A load is a command on the client.
type load struct {
	name    string
	command string // a format of one URL, without its path
	parse   func(out string) (result, error)
}

// A result is what a load found.
type result struct {
	Requests int     // that were answered
	PerSec   float64 // requests, or MB of the download, in a second
	P50, P99 float64 // milliseconds; 0 of the download
	Errors   int     // requests without a proper answer
}

// A run is a load over a way, once.
type run struct {
	load, way string
	result
	cpu cpuTime
}

// loads are wrk's with one thread and 16 connections for some seconds, of the page that nginx is installed with; and
// curl's of one large file.
func loads(seconds int) []load {
	wrk := fmt.Sprintf("wrk -t1 -c16 -d%ds --latency ", seconds)
	return []load{
		{keptConnections, wrk + "%s/", parseWrk},
		{newConnections, wrk + "-H 'Connection: close' %s/", parseWrk},
		{download, "curl -sS -o /dev/null -w '%%{http_code} %%{size_download} %%{time_total}' %s" + bulkPath, parseCurl},
	}
}

// run also reads the CPU time that the kernel has spent meanwhile, on whatever: with a lab in one virtual machine that
// is the time of all hosts, and on a machine that does nothing else what the load has cost on all of them together.
func (l load) run(ctx context.Context, lab *rig.Lab, url string) (run, error) {
	const stat = "head -n 1 /proc/stat"
	out, err := lab.SSH(ctx, "client", fmt.Sprintf("set -e\n%s\necho '%s'\n%s\necho\necho '%s'\n%s", stat, cut, fmt.Sprintf(l.command, url), cut, stat))
	if err != nil {
		return run{}, err
	}
	return parseRun(out, l.parse)
}
