package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (p *program) checkCommand() *cobra.Command {
	cmd := plain(forPeople, "check", "check this host, and whether every other node is reached",
		"Check this host, and whether every other node is reached.\n\nIt needs root. It works without a running agent, and says then what it can find by itself.\nIt exits with 4 if a check fails.", nil)
	return withJSON(cmd, "report", func(ctx context.Context, _ []string, asJSON bool) error {
		return p.reporter().Check(ctx, asJSON)
	})
}
