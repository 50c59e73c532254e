package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/report"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
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

// withWatch gives a command that shows something to people the flags --json and --watch.
func (p *program) withWatch(cmd *cobra.Command, what string, show func(ctx context.Context, r *report.Reporter, args []string, asJSON bool) error) *cobra.Command {
	watch := cmd.Flags().Bool("watch", false, fmt.Sprintf("show the %s again every %s, until Ctrl-C", what, term.Every))
	cmd.Use += " [--watch]"
	return withJSON(cmd, what, func(ctx context.Context, args []string, asJSON bool) error {
		switch {
		case !*watch:
			return show(ctx, p.reporter(), args, asJSON)
		case asJSON:
			return errUsage{errors.New("--watch is for people: it does not go with --json")}
		}
		return term.Watch(ctx, p.screen, func(ctx context.Context, to term.Screen) error {
			err := show(ctx, p.reporterOn(to), args, false)
			if err == nil || errors.Is(err, report.ErrBroken) { // the page says what is broken
				return nil
			}
			return worded{err, p.words(err)}
		})
	})
}

// worded is an error in the words that people see.
type worded struct {
	error
	text string
}

func (w worded) Error() string { return w.text }
func (w worded) Unwrap() error { return w.error }

// noArguments is cobra.NoArgs, which takes the argument for a command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments but its flags", cmd.Name())
	}
	return nil
}
