package cli

import (
	"github.com/spf13/cobra"
)

func (p *program) setsCommand() *cobra.Command {
	return plain(forPrograms, "sets", "make the empty IP sets that saved firewall rules name",
		"Make the empty IP sets that saved firewall rules name. It is started at boot before those\nare loaded.",
		p.installer().MakeSets)
}
