package agentapi

import (
	"errors"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// Where the agent's link may be, in the order of looking; see agent/internal/layout/place.go.
var agentDirs = []string{"/usr/local/bin", "/opt/routingmesh/bin", "/var/lib/routingmesh/bin"}

const (
	// noAgentMark stands in stderr beside exit status 127: other programs exit
	// with that as well.
	noAgentMark = "routingmesh-none"
	noAgentExit = 127
	// agentDownExit is the agent's exit status when the one that serves the node
	// does not answer.
	agentDownExit = 3
)

// Program is where the agent's link is on a usual host.
const Program = "/usr/local/bin/routingmesh-agent"

// HTTPCommand is the command that joins an SSH session to the agent's socket.
func HTTPCommand() sshdial.HTTPCommand {
	return sshdial.HTTPCommand{What: "the call of the agent", Script: agentScript("dial-stdio", agentDirs...)}
}

// agentScript runs the agent that is installed.
func agentScript(subcommand string, dirs ...string) string {
	return "for d in " + strings.Join(dirs, " ") + "; do a=$d/routingmesh-agent; " +
		"if [ -x $a ]; then exec $a " + subcommand + "; fi; done; " +
		"echo " + strings.Replace(noAgentMark, "-", `"-"`, 1) + " >&2; exit 127"
}

// agentError tells a host without an agent, and one whose agent does not run,
// from other commands that fail: by exit status and mark, never by words.
func agentError(err error) error {
	failed, ok := errors.AsType[*sshdial.CommandError](err)
	switch {
	case !ok:
		return err
	case failed.Code == noAgentExit && strings.Contains(failed.Stderr, noAgentMark+"\n"):
		return &NoAgentError{Address: failed.Address}
	case failed.Code == agentDownExit:
		return &AgentDownError{Address: failed.Address, Stderr: failed.Stderr}
	}
	return err
}
