package cli

import (
	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/daemon"
)

func (p *program) runCommand() *cobra.Command {
	return plain(forPrograms, "run", "serve; started by the init system",
		"Serve until SIGTERM. It is started by the init system.",
		(&daemon.Daemon{Layout: p.Layout, Version: p.version, Log: p.log}).Run)
}
