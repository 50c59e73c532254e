//go:build kernel

package kernel_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// The process's first thread is one that Go never ends: left in a namespace, it
// would keep that alive after somebody has deleted it, and its VNI and its end of
// the veth with it.
func TestNoThreadStaysInANamespace(t *testing.T) {
	m := newMachine(t, "a")
	before := threads(t)
	for range 100 {
		m.apply([]state.Op{{Action: state.Add, New: state.NetNS{}}})
		m.apply([]state.Op{{Action: state.Remove, Old: state.NetNS{}}})
	}
	for range 5 {
		kernel.Requirements(context.Background())
	}
	if diff := cmp.Diff(before, threads(t)); diff != "" {
		t.Errorf("where threads are:\n%s", diff)
	}
}

// threads is which network namespaces the process's threads are in.
func threads(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]bool{}
	for _, file := range files {
		if ns, err := os.Readlink(file); err == nil { // it may have ended meanwhile
			in[ns] = true
		}
	}
	return in
}
