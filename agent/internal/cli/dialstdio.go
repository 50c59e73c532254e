package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/client"
)

func (p *program) dialStdioCommand() *cobra.Command {
	return plain(forPrograms, "dial-stdio", "join stdin and stdout to the agent's socket",
		"Join stdin and stdout to the agent's socket: the provider speaks HTTP with the agent that way,\nover SSH. It exits with 3 if no agent answers.",
		func(ctx context.Context) error {
			return client.New(p.Socket()).Join(ctx, p.stdin, p.stdout)
		})
}
