// Package node opens what the agent and its commands work on: the kernel, firewalld
// and the host, with the files that the layout has for them.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/firewall"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

// Firewalld is that of this host, which may have none. Without a watch nobody is
// told that it may have flushed the host's rules.
func Firewalld(ctx context.Context, l layout.Layout, watch *kernel.Watch, log *slog.Logger) (*firewall.Firewalld, error) {
	told, err := host.OpenOriginals(l.ToldFirewalld(), log)
	if err != nil {
		return nil, err
	}
	options := firewall.Options{Originals: told, Log: log}
	if watch != nil {
		options.Changed = watch.Reloaded
	}
	return firewall.New(ctx, options), nil
}

// OpenKernel opens the interfaces of the host's kernel.
func OpenKernel(l layout.Layout, log *slog.Logger) (*kernel.Kernel, error) {
	originals, err := host.OpenOriginals(l.Originals(), log)
	if err != nil {
		return nil, err
	}
	k, err := kernel.New(kernel.Options{Originals: originals})
	if err != nil {
		return nil, fmt.Errorf("open the kernel's interfaces: %w", err)
	}
	return k, nil
}

// Host is what can be read of this host.
func Host(l layout.Layout) *host.Host {
	return &host.Host{Proc: l.Path("proc"), Root: l.Root, Requirements: requirements, Preserving: preserving, Ranging: ranging, Networking: networking,
		Taken:      func(ctx context.Context) ([]string, error) { return kernel.Taken(ctx, l.Root) },
		Translated: firewall.Translated}
}

// requirements puts what the host lacks into sentences, and what the mesh cannot
// work beside.
func requirements(ctx context.Context) []string {
	var texts []string
	if b, err := kernel.ReadBackends(ctx); err == nil && b.Mixed() != "" { // an error is one of a missing program, see below
		texts = append(texts, b.Mixed())
	}
	return append(texts, lacking(kernel.Requirements(ctx))...)
}

// preserving is requirements of ports that preserve clients' addresses.
func preserving(ctx context.Context, mark uint32) []string {
	texts, err := kernel.MarkTaken(mark)
	if err != nil {
		texts = append(texts, fmt.Sprintf("Whether somebody else uses the mesh's mark on this host cannot be read: %v.", err))
	}
	return append(texts, lacking(kernel.PreserveRequirements(ctx))...)
}

// ranging is requirements of ranges of ports.
func ranging(ctx context.Context) []string { return lacking(kernel.RangeRequirements(ctx)) }

// networking is requirements of networks.
func networking(ctx context.Context, vxlanPort uint16) []string {
	texts, err := kernel.OtherOverlays(vxlanPort)
	if err != nil {
		texts = append(texts, fmt.Sprintf("Whether another overlay uses the mesh's UDP port on this host cannot be read: %v.", err))
	}
	return append(texts, lacking(kernel.NetworkRequirements(ctx))...)
}

func lacking(missing []kernel.Missing) (texts []string) {
	for _, m := range missing {
		texts = append(texts, fmt.Sprintf("The host lacks %s: %s. %s.", m.What, strings.TrimSuffix(m.Why, "."), strings.TrimSuffix(m.Fix, ".")))
	}
	return texts
}
