package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// Groups of the help.
const (
	forPeople   = "people"
	forPrograms = "programs"
)

// root is the tree of commands. An error of before started was set is one of the
// command line, for no command has run: cobra has no type for those errors.
func (p *program) root() (root *cobra.Command, started *bool) {
	started = new(bool)
	var version bool
	root = &cobra.Command{
		Use:           "routingmesh-agent",
		Long:          "routingmesh-agent keeps this host's part of a routing mesh.\n\n" + exitCodes,
		SilenceErrors: true, // main says them
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			if version {
				return p.showVersion()
			}
			return errUsage{errors.New("a command is missing")}
		},
		PersistentPreRun: func(*cobra.Command, []string) { *started = true },
	}
	root.Flags().BoolVar(&version, "version", false, "show the version and the checksum of this program")
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.AddGroup(
		&cobra.Group{ID: forPeople, Title: "Commands:"},
		&cobra.Group{ID: forPrograms, Title: "Used by the Terraform provider and the init system:"},
	)
	root.AddCommand(
		p.statusCommand(), p.serviceCommand(), p.networkCommand(), p.nodeCommand(), p.checkCommand(), p.traceCommand(), p.versionCommand(), p.uninstallCommand(),
		p.installCommand(), p.runCommand(), p.setsCommand(), p.dialStdioCommand(),
	)
	root.InitDefaultHelpFlag() // else the usage after an unknown command lacks it
	addHelp(root)
	addCompletion(root)
	return root, started
}

// plain is a command without flags and arguments.
func plain(group, name, short, long string, run func(context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Long: long, GroupID: group,
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return run(cmd.Context()) },
	}
}

// withJSON gives a command the flag that makes it answer programs.
func withJSON(cmd *cobra.Command, what string, run func(ctx context.Context, args []string, asJSON bool) error) *cobra.Command {
	asJSON := cmd.Flags().Bool("json", false, "print the "+what+" as JSON, for programs")
	cmd.Use += " [--json]"
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args, *asJSON) }
	return cmd
}

// noArguments is cobra.NoArgs, which takes the argument for a command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments but its flags", cmd.Name())
	}
	return nil
}
