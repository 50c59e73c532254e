package sshdial

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

const (
	defaultUser = "root"
	defaultPort = 22
)

// surroundings is what a configuration takes from the process: tests give
// their own.
type surroundings struct {
	home   string
	getenv func(string) string
	// machineKnownHosts is the machine's own known_hosts file, which its administrator
	// or a directory service writes.
	machineKnownHosts string
}

func ownSurroundings() surroundings {
	home, _ := os.UserHomeDir()
	return surroundings{home, os.Getenv, "/etc/ssh/ssh_known_hosts"}
}

// expand makes a path of "~/.ssh/id", as shells do.
func (s surroundings) expand(path string) string {
	if path == "~" || (len(path) > 1 && path[:2] == "~/") {
		return filepath.Join(s.home, path[1:])
	}
	return path
}

// Router knows the way to every host: it makes endpoints of the settings, of what
// is known of a host itself, and of ~/.ssh/config. It is safe for concurrent use.
type Router struct {
	ssh        Config
	around     surroundings
	login      *login
	bastion    *login
	hostKey    knownKey
	bastionKey knownKey
	knownHosts *knownHosts
	jumps      []target    // of proxy_jump
	config     *userConfig // nil unless use_ssh_config
}

// hop is a target with what is known of it.
type hop struct {
	target
	name    string
	hostKey knownKey
	login   *login
	// via overrides the provider's bastion.
	via *Endpoint
}

// route makes an endpoint: what h says itself, then the provider's ssh block,
// then ~/.ssh/config, then the defaults.
func (r *Router) route(h hop) (*Endpoint, error) {
	entry, err := r.config.lookup(h.host)
	if err != nil {
		return nil, err
	}
	ep := &Endpoint{
		Name: cmp.Or(h.name, h.target.String()), Host: cmp.Or(entry.hostName, h.host),
		User:  cmp.Or(h.user, r.ssh.User, entry.user, defaultUser),
		Port:  cmp.Or(h.port, r.ssh.Port, entry.port, defaultPort),
		login: h.login, hostKey: h.hostKey, knownHosts: r.knownHosts, Via: h.via,
	}
	if len(entry.identities) > 0 {
		more := *ep.login
		more.keys = append(slices.Clip(more.keys), entry.identities...)
		ep.login = &more
	}
	if entry.knownHosts != nil && len(r.ssh.KnownHosts) == 0 {
		ep.knownHosts = entry.knownHosts
	}
	ep.Sudo = ep.User != "root"
	if r.ssh.Sudo != nil {
		ep.Sudo = *r.ssh.Sudo
	}
	if ep.Via == nil {
		ep.Via, err = r.defaultVia(h.host, entry)
	}
	return ep, err
}

// defaultVia is the provider's bastion or proxy_jump, or ~/.ssh/config's
// ProxyJump for this host.
func (r *Router) defaultVia(host string, entry configEntry) (*Endpoint, error) {
	switch {
	case r.ssh.Bastion.Host != "":
		return r.bastionEndpoint(r.ssh.Bastion.Host, r.ssh.Bastion.Port, r.ssh.Bastion.User)
	case len(r.jumps) > 0:
		return r.chain(r.jumps, 0)
	case len(entry.jumps) > 0:
		return r.chain(entry.jumps, 0)
	case entry.proxyCommand != "":
		return nil, entry.notRun(host)
	}
	return nil, nil
}

// bastionEndpoint is the way to a bastion, which is always direct.
func (r *Router) bastionEndpoint(host string, port uint16, user string) (*Endpoint, error) {
	t, err := parseTarget(host)
	if err != nil {
		return nil, &ConfigError{"bastion.host", prose.Sentence(err.Error())}
	}
	key, l := r.bastionKey, r.bastion
	if host != r.ssh.Bastion.Host {
		// Any node may have written it into the record: no password goes there.
		withoutPassword := *r.bastion
		withoutPassword.password, withoutPassword.kept = "", r.bastion.password != ""
		key, l = knownKey{}, &withoutPassword
	}
	return r.jump(t.or(user, port).or(r.ssh.Bastion.User, r.ssh.Bastion.Port), key, l, nil, 0)
}

// jump makes the endpoint of a host to go through. Unlike route it takes
// neither the provider's port, which is that of the hosts behind, nor its
// bastion.
func (r *Router) jump(t target, key knownKey, l *login, via *Endpoint, depth int) (*Endpoint, error) {
	entry, err := r.config.lookup(t.host)
	if err != nil {
		return nil, err
	}
	ep := &Endpoint{
		Name: "bastion " + t.String(), Host: cmp.Or(entry.hostName, t.host),
		User: cmp.Or(t.user, entry.user, r.ssh.User, defaultUser), Port: cmp.Or(t.port, entry.port, defaultPort),
		login: l, hostKey: key, knownHosts: r.knownHosts, Via: via,
	}
	if len(entry.identities) > 0 {
		more := *l
		more.keys = append(slices.Clip(more.keys), entry.identities...)
		ep.login = &more
	}
	switch {
	case via != nil:
	case len(entry.jumps) > 0:
		ep.Via, err = r.chain(entry.jumps, depth+1)
	case entry.proxyCommand != "":
		err = entry.notRun(t.host)
	}
	return ep, err
}

// maxJumps ends a ProxyJump in ~/.ssh/config that leads back to itself.
const maxJumps = 8

func (r *Router) chain(hops []target, depth int) (*Endpoint, error) {
	if depth+len(hops) > maxJumps {
		return nil, &ConfigError{"proxy_jump", fmt.Sprintf("The way goes over more than %d hosts: does a ProxyJump lead back to itself?", maxJumps)}
	}
	var via *Endpoint
	for _, t := range hops {
		ep, err := r.jump(t, knownKey{}, r.bastion, via, depth)
		if err != nil {
			return nil, err
		}
		via = ep
	}
	return via, nil
}

// Host makes the endpoint of an address ("host", "host:port", "user@host:port")
// that has no settings of its own. Errors are *ConfigError.
func (r *Router) Host(address string) (*Endpoint, error) {
	t, err := parseTarget(address)
	if err != nil {
		return nil, &ConfigError{"hosts", prose.Sentence(err.Error())}
	}
	return r.route(hop{target: t, name: address, hostKey: r.hostKey, login: r.login})
}
