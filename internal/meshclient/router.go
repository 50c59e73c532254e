package meshclient

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
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
}

func ownSurroundings() surroundings {
	home, _ := os.UserHomeDir()
	return surroundings{home, os.Getenv}
}

// expand makes a path of "~/.ssh/id", as shells do.
func (s surroundings) expand(path string) string {
	if path == "~" || (len(path) > 1 && path[:2] == "~/") {
		return filepath.Join(s.home, path[1:])
	}
	return path
}

// router knows the way to every host: it makes endpoints of the provider's
// settings, of nodes in the record and of ~/.ssh/config.
type router struct {
	ssh        SSHConfig
	around     surroundings
	hosts      []*endpoint // of Config.Hosts, in its order
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
	via *endpoint
}

// route makes an endpoint: what h says itself, then the provider's ssh block,
// then ~/.ssh/config, then the defaults.
func (r *router) route(h hop) (*endpoint, error) {
	entry, err := r.config.lookup(h.host)
	if err != nil {
		return nil, err
	}
	ep := &endpoint{
		name: cmp.Or(h.name, h.target.String()), host: cmp.Or(entry.hostName, h.host),
		user:  cmp.Or(h.user, r.ssh.User, entry.user, defaultUser),
		port:  cmp.Or(h.port, r.ssh.Port, entry.port, defaultPort),
		login: h.login, hostKey: h.hostKey, knownHosts: r.knownHosts, via: h.via,
	}
	if len(entry.identities) > 0 {
		more := *ep.login
		more.keys = append(slices.Clip(more.keys), entry.identities...)
		ep.login = &more
	}
	if entry.knownHosts != nil && len(r.ssh.KnownHosts) == 0 {
		ep.knownHosts = entry.knownHosts
	}
	ep.sudo = ep.user != "root"
	if r.ssh.Sudo != nil {
		ep.sudo = *r.ssh.Sudo
	}
	if ep.via == nil {
		ep.via, err = r.defaultVia(h.host, entry)
	}
	return ep, err
}

// defaultVia is the provider's bastion or proxy_jump, or ~/.ssh/config's
// ProxyJump for this host.
func (r *router) defaultVia(host string, entry configEntry) (*endpoint, error) {
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
func (r *router) bastionEndpoint(host string, port uint16, user string) (*endpoint, error) {
	t, err := parseTarget(host)
	if err != nil {
		return nil, &ConfigError{"bastion.host", sentence(err.Error())}
	}
	key := knownKey{}
	if host == r.ssh.Bastion.Host {
		key = r.bastionKey
	}
	return r.jump(t.or(user, port).or(r.ssh.Bastion.User, r.ssh.Bastion.Port), key, r.bastion, nil, 0)
}

// jump makes the endpoint of a host to go through. Unlike route it takes
// neither the provider's port, which is that of the hosts behind, nor its
// bastion.
func (r *router) jump(t target, key knownKey, l *login, via *endpoint, depth int) (*endpoint, error) {
	entry, err := r.config.lookup(t.host)
	if err != nil {
		return nil, err
	}
	ep := &endpoint{
		name: "bastion " + t.String(), host: cmp.Or(entry.hostName, t.host),
		user: cmp.Or(t.user, entry.user, r.ssh.User, defaultUser), port: cmp.Or(t.port, entry.port, defaultPort),
		login: l, hostKey: key, knownHosts: r.knownHosts, via: via,
	}
	if len(entry.identities) > 0 {
		more := *l
		more.keys = append(slices.Clip(more.keys), entry.identities...)
		ep.login = &more
	}
	switch {
	case via != nil:
	case len(entry.jumps) > 0:
		ep.via, err = r.chain(entry.jumps, depth+1)
	case entry.proxyCommand != "":
		err = entry.notRun(t.host)
	}
	return ep, err
}

// maxJumps ends a ProxyJump in ~/.ssh/config that leads back to itself.
const maxJumps = 8

func (r *router) chain(hops []target, depth int) (*endpoint, error) {
	if depth+len(hops) > maxJumps {
		return nil, &ConfigError{"proxy_jump", fmt.Sprintf("The way goes over more than %d hosts: does a ProxyJump lead back to itself?", maxJumps)}
	}
	var via *endpoint
	for _, t := range hops {
		ep, err := r.jump(t, knownKey{}, r.bastion, via, depth)
		if err != nil {
			return nil, err
		}
		via = ep
	}
	return via, nil
}

// host makes the endpoint of an entry of Config.Hosts.
func (r *router) host(entry string) (*endpoint, error) {
	t, err := parseTarget(entry)
	if err != nil {
		return nil, &ConfigError{"hosts", sentence(err.Error())}
	}
	return r.route(hop{target: t, name: entry, hostKey: r.hostKey, login: r.login})
}

// node makes the endpoint of a node as its record describes it.
func (r *router) node(n *mesh.Node) (*endpoint, error) {
	h := hop{
		target: target{n.SSH.User, cmp.Or(n.SSH.Host, n.Address.String()), n.SSH.Port},
		name:   n.Name, hostKey: r.hostKey, login: r.login,
	}
	if n.SSH.HostKey != "" {
		key, err := parseHostKey(n.SSH.HostKey)
		if err != nil {
			return nil, &mesh.Error{Object: mesh.NodeObject(n.Name), Attribute: "ssh", Detail: sentence("host_key: " + err.Error())}
		}
		h.hostKey = knownKey{key, fmt.Sprintf("host_key of node %s", n.Name)}
	}
	if n.SSH.BastionHost != "" {
		via, err := r.bastionEndpoint(n.SSH.BastionHost, n.SSH.BastionPort, n.SSH.BastionUser)
		if err != nil {
			return nil, &mesh.Error{Object: mesh.NodeObject(n.Name), Attribute: "ssh", Detail: sentence(err.Error())}
		}
		h.via = via
	}
	if !plainHost(h.host) {
		return nil, &mesh.Error{Object: mesh.NodeObject(n.Name), Attribute: "ssh", Summary: "Invalid SSH host", Detail: fmt.Sprintf("%q is not a host name or address.", h.host)}
	}
	return r.route(h)
}
