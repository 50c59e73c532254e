package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

// addCompletion takes cobra's command, but a call without a shell is a usage error.
func addCompletion(root *cobra.Command) {
	root.SetCompletionCommandGroupID(forPeople)
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Short = "print a script that completes commands in a shell"
			cmd.DisableFlagsInUseLine = true
			cmd.Args, cmd.RunE = cobra.NoArgs, func(*cobra.Command, []string) error {
				return errUsage{errors.New("completion takes the name of a shell")}
			}
		}
	}
}
