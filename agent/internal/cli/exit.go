package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/client"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/report"
	plaintext "github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// Exit codes. The provider goes by those of dial-stdio, install and uninstall,
// also one of another version: they stay.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNotRunning = 3
	exitBroken     = 4
)

const exitCodes = `Exit codes:
  0  the command did what it is for
  1  the command failed
  2  the command line is wrong
  3  no agent answers on this host
  4  status, check or trace ran and found something broken
     (status --json exits with 0: read the JSON)`

// errUsage is a wrong command line that shows only when its command runs.
type errUsage struct{ error }

func (p *program) usageError(cmd *cobra.Command, err error) int {
	fmt.Fprintf(p.stderr, "routingmesh-agent: %s\n\n%s", strings.TrimSpace(err.Error()), cmd.UsageString())
	return exitUsage
}

func (p *program) exitCode(cmd *cobra.Command, err error) int {
	var usage errUsage
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, report.ErrBroken): // the report says what
		return exitBroken
	case errors.As(err, &usage):
		return p.usageError(cmd, err)
	}
	fmt.Fprintln(p.stderr, "routingmesh-agent:", p.words(err))
	if _, absent := errors.AsType[*client.NotRunningError](err); absent {
		return exitNotRunning
	}
	return exitFailed
}

// words are those of an error that a command ended with.
func (p *program) words(err error) string {
	if absent, ok := errors.AsType[*client.NotRunningError](err); ok { // without the HTTP client's words around it
		return fmt.Sprintf("%v: %s", absent, p.WhereToLook())
	}
	return plaintext.Text(err.Error())
}
