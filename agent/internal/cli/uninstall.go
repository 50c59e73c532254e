package cli

import (
	"github.com/spf13/cobra"
)

func (p *program) uninstallCommand() *cobra.Command {
	return plain(forPeople, "uninstall", "remove the mesh and this program from the host",
		"Remove the mesh and this program from the host, and leave it as it was found.\nThe other nodes still send to it: take it out of the cluster first, with Terraform.",
		p.installer().Uninstall)
}
