package cli

import (
	"github.com/spf13/cobra"
)

func (p *program) installCommand() *cobra.Command {
	return plain(forPrograms, "install", "install this program and (re)start it as a service",
		"Install this program and (re)start it as a service. What is in place already is left alone.",
		p.installer().Install)
}
