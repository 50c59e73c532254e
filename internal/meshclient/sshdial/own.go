package sshdial

import (
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// OwnSettings are those of one host. What is zero is as for every host.
type OwnSettings struct {
	Name string // of the host, for messages
	User string
	Host string // a name or an address; it is needed
	Port uint16
	// HostKey is the only key that it may show, in authorized_keys form, unless
	// known_hosts knows the host.
	HostKey string
	// HostKeySource says in errors where HostKey is from.
	HostKeySource string
	// BastionHost is an SSH address to go through, in place of every other way.
	BastionHost string
	BastionPort uint16
	BastionUser string
}

// OwnSettingsError is one of the OwnSettings that cannot work.
type OwnSettingsError struct {
	BadHost bool   // it is Host
	Detail  string // a sentence
}

func (e *OwnSettingsError) Error() string { return e.Detail }

// Own makes the endpoint of a host that has settings of its own. Errors are
// *OwnSettingsError, and *ConfigError for settings that all hosts share.
func (r *Router) Own(s OwnSettings) (*Endpoint, error) {
	h := hop{target: target{s.User, s.Host, s.Port}, name: s.Name, hostKey: r.hostKey, login: r.login}
	if s.HostKey != "" {
		key, err := parseHostKey(s.HostKey)
		if err != nil {
			return nil, &OwnSettingsError{Detail: prose.Sentence("host_key: " + err.Error())}
		}
		h.hostKey = knownKey{key: key, source: s.HostKeySource}
	}
	if s.BastionHost != "" {
		via, err := r.bastionEndpoint(s.BastionHost, s.BastionPort, s.BastionUser)
		if err != nil {
			return nil, &OwnSettingsError{Detail: prose.Sentence(err.Error())}
		}
		h.via = via
	}
	if !plainHost(h.host) {
		return nil, &OwnSettingsError{BadHost: true, Detail: fmt.Sprintf("%q is not a host name or address.", h.host)}
	}
	return r.route(h)
}
