package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/report"
)

// serviceCommand, networkCommand and nodeCommand list what the record has, by the words of
// docker's commands.
func (p *program) serviceCommand() *cobra.Command {
	cmd := group("service", "list the services, and where each answers", "List the services of the cluster, and where each answers, as this node knows it.")
	ls := p.withWatch(plain("", "ls", "list the services", "List the services of the cluster, as every node knows them.\n\nCONTAINERS is how many of their slots are filled. A service in networks has a VIP, by which\ntheir members reach it, or \"dnsrr\" where its name leads to the containers. The scheduler\nis then in the JSON only.\n\nIt asks the running agent.", nil), "list",
		func(ctx context.Context, r *report.Reporter, _ []string, asJSON bool) error {
			return r.Services(ctx, asJSON)
		})
	ps := plain("", "ps [SERVICE]", "list the endpoints of a service, or of all",
		"List the endpoints of a service, or of all: processes, and the slots of containers with who has them.\n\n"+
			"The container's name is known on its own node. A slot is empty where none fits, silent where\nits node's agent is not heard. It asks the running agent.", nil)
	ps.Args = atMostOneService
	ps.Example = "  routingmesh-agent service ps web\n  routingmesh-agent service ps --json"
	cmd.AddCommand(ls, p.withWatch(ps, "list", func(ctx context.Context, r *report.Reporter, args []string, asJSON bool) error {
		service := ""
		if len(args) == 1 {
			service = args[0]
		}
		return r.Endpoints(ctx, service, asJSON)
	}))
	return cmd
}

func (p *program) networkCommand() *cobra.Command {
	cmd := group("network", "list the networks", "List the networks of the cluster.")
	cmd.AddCommand(p.withWatch(plain("", "ls", "list the networks", "List the networks of the cluster and their members, as every node knows them.\n\n"+
		"HERE and EVERYWHERE count the containers that run, on this node and on all that are heard.\nHOSTS are the nodes whose own processes are members, * is every node.\n\nIt asks the running agent.", nil), "list",
		func(ctx context.Context, r *report.Reporter, _ []string, asJSON bool) error {
			return r.Networks(ctx, asJSON)
		}))
	return cmd
}

func (p *program) nodeCommand() *cobra.Command {
	cmd := group("node", "list the nodes", "List the nodes of the cluster.")
	cmd.AddCommand(p.withWatch(plain("", "ls", "list the nodes", "List the nodes of the cluster, as every node knows them; * is this one.\n\nIt asks the running agent.", nil), "list",
		func(ctx context.Context, r *report.Reporter, _ []string, asJSON bool) error {
			return r.Nodes(ctx, asJSON)
		}))
	return cmd
}

// group is a command that only has others.
func group(name, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Long: long, GroupID: forPeople, DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New(name + " has no command " + args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return errUsage{errors.New("a command of " + name + " is missing")}
		},
	}
}

func atMostOneService(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return errors.New("service ps takes at most one argument, the name of a service")
	}
	return nil
}
