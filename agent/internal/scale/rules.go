package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// rules counts those of iptables, with all ports and with one.
func (b *bench) rules(ctx context.Context, n *node) error {
	many, err := countRules(ctx)
	if err != nil {
		return err
	}
	one, err := b.record(1)
	if err != nil {
		return err
	}
	if err := n.commit(ctx, one, nil); err != nil {
		return err
	}
	few, err := countRules(ctx)
	if err != nil {
		return err
	}
	if err := b.figure("rules", float64(many), "", 1, ""); err != nil {
		return err
	}
	return b.figure("rules more than with one port", float64(many-few), "", 1, "<= 0")
}

// countRules counts our rules, in both namespaces.
func countRules(ctx context.Context) (int, error) {
	host, err := exec.CommandContext(ctx, "iptables-save").Output()
	if err != nil {
		return 0, fmt.Errorf("iptables-save: %w", err)
	}
	inMesh, err := exec.CommandContext(ctx, "nsenter", "--net=/run/netns/"+state.Namespace, "iptables-save").Output()
	if err != nil {
		return 0, fmt.Errorf("iptables-save in the mesh: %w", err)
	}
	return rulesIn(string(host), state.ChainPrefix) + rulesIn(string(inMesh), ""), nil
}

// rulesIn counts rules that name what is ours.
func rulesIn(save, ours string) (n int) {
	lines := bufio.NewScanner(strings.NewReader(save))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "-A ") && strings.Contains(lines.Text(), ours) {
			n++
		}
	}
	return n
}
