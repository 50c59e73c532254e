package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// usualTail and maxTail are how many lines of a task's log are shown.
const (
	usualTail = 100
	maxTail   = 10000
)

func (p *program) logsCommand() *cobra.Command {
	cmd := plain("", "logs SERVICE[.TASK] [--tail N]", "show what the tasks of a service wrote, on this node",
		"Show what the tasks of a service wrote last, or one of them: those of this node, as their\nengine has it.\n\nIt asks the running agent.", nil)
	cmd.Example = "  routingmesh-agent service logs web\n  routingmesh-agent service logs web.1 --tail 20"
	tail := cmd.Flags().Int("tail", usualTail, "how many lines of each task")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) != 1:
			return errors.New("service logs takes one argument, the name of a service or of a task as web.1")
		case *tail < 1 || *tail > maxTail:
			return fmt.Errorf("--tail is 1-%d, not %d", maxTail, *tail)
		}
		return nil
	}
	asJSON := cmd.Flags().Bool("json", false, "print the logs as JSON, for programs")
	cmd.Use += " [--json]"
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.reporter().Logs(cmd.Context(), args[0], *tail, *asJSON)
	}
	return cmd
}
