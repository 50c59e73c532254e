package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/report"
)

func (p *program) traceCommand() *cobra.Command {
	var from string
	cmd := plain(forPeople, "trace [ADDRESS:]PORT[/udp] [--from ADDRESS]", "show a packet's way to a published port, and where it is broken",
		"Show a packet's way on this node to a published port, step by step, with live counters,\nand where it is broken.\n\n"+
			"ADDRESS is the one of this node that clients connect to: it says which port is meant where\nseveral services publish the number.\n\n"+
			"It needs root, and no running agent. It exits with 4 if the way is broken, or the client\nof --from may not connect.", nil)
	cmd.Args = onePort
	cmd.Flags().StringVar(&from, "from", "", "say whether the client with this `ADDRESS` may connect")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if err := report.CheckClient(from); err != nil {
			return errUsage{err}
		}
		return nil
	}
	cmd.Example = "  routingmesh-agent trace 8080\n  routingmesh-agent trace 8080 --from 192.0.2.7\n  routingmesh-agent trace 53/udp --json\n  routingmesh-agent trace 192.0.2.1:443"
	return withJSON(cmd, "trace", func(ctx context.Context, args []string, asJSON bool) error {
		return p.reporter().Trace(ctx, args[0], from, asJSON)
	})
}

func onePort(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("trace takes one argument, a published port: as in 8080 or 53/udp")
	}
	return report.CheckPort(args[0])
}
