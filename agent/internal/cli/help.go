package cli

import (
	"github.com/spf13/cobra"
)

// addHelp is in place of cobra's help command, which takes a mistyped command for
// a success.
func addHelp(root *cobra.Command) {
	root.SetHelpCommand(&cobra.Command{
		Use: "help [command]", Short: "show the help of a command", GroupID: forPeople,
		DisableFlagsInUseLine: true,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if len(args) == 0 {
				for _, c := range root.Commands() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, _, err := root.Find(args)
			if err != nil {
				return errUsage{err}
			}
			cmd.InitDefaultHelpFlag() // else it is missing among the flags
			return cmd.Help()
		},
	})
}
