package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/report"
)

func (p *program) checkCommand() *cobra.Command {
	cmd := plain(forPeople, "check", "check this host, and whether every other node is reached",
		"Check this host, and whether every other node is reached.\n\nIt needs root. It works without a running agent, and says then what it can find by itself.\nIt exits with 4 if a check fails.", nil)
	return p.withWatch(cmd, "report", func(ctx context.Context, r *report.Reporter, _ []string, asJSON bool) error {
		return r.Check(ctx, asJSON)
	})
}
