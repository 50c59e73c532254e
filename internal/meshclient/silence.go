package meshclient

import (
	"errors"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// silence puts why an agent could not be asked into words that stay the same
// for as long as the reason does: the errors themselves have times, attempts
// and the kernel's words in them. It is the beginning of a sentence.
func silence(err error) string {
	var (
		slow    *agentapi.SlowError
		key     *sshdial.HostKeyError
		down    *agentapi.AgentDownError
		sudo    *sshdial.SudoError
		login   *sshdial.LoginError
		limit   *sshdial.SessionsError
		version *agentapi.VersionError
		foreign *ForeignError
	)
	switch {
	case isAuth(err):
		return "refuses the SSH login"
	case errors.As(err, &key):
		return hostKeySilence(key)
	case errors.As(err, &slow):
		return "can be reached over SSH, and its routingmesh-agent does not answer"
	case errors.As(err, &sudo):
		return "takes the SSH login, and does not let its user become root with sudo or doas"
	case errors.As(err, &login):
		return "takes the SSH login, and does not run commands in it"
	case errors.As(err, &limit):
		return "takes the SSH login, and opens no session (MaxSessions of its sshd_config)"
	case agentapi.IsNoAgent(err):
		return "no routingmesh-agent is installed there, so that nothing keeps its part of the mesh as it should be"
	case errors.As(err, &down):
		return "its routingmesh-agent is installed and not running"
	case errors.As(err, &version):
		return versionSilence(version)
	case errors.As(err, &foreign):
		return fmt.Sprintf("its host belongs to the cluster %q", foreign.Cluster)
	case agentapi.IsNewer(err):
		return "its routingmesh-agent is too old for the record that the host has, and changes nothing"
	case agentapi.IsRefusal(err):
		return "its routingmesh-agent answers with an error instead of its state"
	case isUnreachable(err):
		return "cannot be reached over SSH"
	case isRule(err):
		return "its SSH settings cannot be used"
	}
	return "its routingmesh-agent cannot be asked"
}

func hostKeySilence(e *sshdial.HostKeyError) string {
	switch {
	case e.Revoked:
		return "shows a revoked SSH host key"
	case len(e.Known) == 0:
		return "shows an SSH host key that is not known"
	}
	return "shows another SSH host key than the known one"
}

func versionSilence(e *agentapi.VersionError) string {
	switch {
	case e.API > mesh.APIVersion:
		return "its routingmesh-agent is too new for this version of the provider"
	case e.API < mesh.APIVersion:
		return "its routingmesh-agent is of another version than the provider"
	}
	return "its routingmesh-agent has a record that this version of the provider cannot use"
}

// servesNothing says that the silent host has nothing of this cluster's mesh.
func servesNothing(err error) bool {
	_, foreign := errors.AsType[*ForeignError](err)
	return foreign || agentapi.IsNoAgent(err)
}

func isUnreachable(err error) bool {
	_, ok := asUnreachable(err)
	return ok
}

func isAuth(err error) bool {
	_, ok := errors.AsType[*sshdial.AuthError](err)
	return ok
}

func isRule(err error) bool {
	_, ok := errors.AsType[*mesh.Error](err)
	return ok
}
