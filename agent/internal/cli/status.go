package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/report"
)

func (p *program) statusCommand() *cobra.Command {
	cmd := plain(forPeople, "status", "show the node, its ports and what differs from the record",
		"Show the node, its ports and what differs from the record.\n\nIt asks the running agent. It exits with 4 if it shows problems or warnings; with --json it does not.", nil)
	return p.withWatch(cmd, "status", func(ctx context.Context, r *report.Reporter, _ []string, asJSON bool) error {
		return r.Status(ctx, asJSON)
	})
}
