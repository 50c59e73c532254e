//go:build kernel

package kernel_test

import (
	"context"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
)

func TestThisHostLacksNothing(t *testing.T) {
	m := newMachine(t, "a")
	before := m.snapshot()
	for _, missing := range kernel.Requirements(context.Background()) {
		t.Errorf("%+v", missing)
	}
	if after := m.snapshot(); after != before {
		t.Error("looking changed the host")
	}
}
