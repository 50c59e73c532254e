package sshdial

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// NewRouter checks the settings. It reads files (known_hosts, ~/.ssh) and
// never dials. Errors are *ConfigError.
func NewRouter(cfg Config) (*Router, error) { return newRouter(cfg, ownSurroundings()) }

func newRouter(cfg Config, around surroundings) (*Router, error) {
	r := &Router{ssh: cfg, around: around}
	for _, step := range []func() error{r.readPolicy, r.readLogins, r.readHostKeys, r.readWays} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Warnings says what of ~/.ssh/config is passed over, one sentence each.
func (r *Router) Warnings() []string {
	if r.config == nil {
		return nil
	}
	return r.config.warnings
}

func (r *Router) readPolicy() error {
	if p := r.ssh.HostKeyPolicy; !slices.Contains([]HostKeyPolicy{HostKeyDefault, HostKeyStrict, HostKeyAcceptNew, HostKeyInsecure}, p) {
		return &ConfigError{"host_key_policy", fmt.Sprintf("%q is no policy: want strict, accept-new or insecure.", p)}
	}
	for attribute, user := range map[string]string{"user": r.ssh.User, "bastion.user": r.ssh.Bastion.User} {
		if err := CheckUser(user); user != "" && err != nil {
			return &ConfigError{attribute, prose.Sentence(err.Error())}
		}
	}
	return nil
}

// readLogins reads the keys. The bastion takes what it has no own setting for
// from the hosts, as in Terraform's connection block.
func (r *Router) readLogins() error {
	s := r.ssh
	keys, err := readKeys("", s.PrivateKey, s.Passphrase, s.Certificate)
	if err != nil {
		return err
	}
	socket := cmp.Or(s.AgentSocket, r.around.getenv("SSH_AUTH_SOCK"))
	if s.Agent != nil && !*s.Agent {
		socket = ""
	}
	r.login = &login{keys: keys, agentSocket: socket, agentMust: s.Agent != nil && *s.Agent, password: s.Password}
	if r.login.agentMust && socket == "" {
		return &ConfigError{"agent", "There is no SSH agent: SSH_AUTH_SOCK is not set. Start one (ssh-agent), or set agent = false."}
	}
	bastion := *r.login
	bastion.password = cmp.Or(s.Bastion.Password, s.Password)
	if s.Bastion.PrivateKey != "" || s.Bastion.Certificate != "" {
		if bastion.keys, err = readKeys("bastion.", cmp.Or(s.Bastion.PrivateKey, s.PrivateKey), s.Passphrase, s.Bastion.Certificate); err != nil {
			return err
		}
	}
	r.bastion = &bastion
	return nil
}

func readKeys(prefix, content, passphrase, certificate string) ([]identity, error) {
	var keys []identity
	var err error
	if content != "" {
		if keys, err = parsePrivateKeys(content, passphrase, prefix+"private_key"); err != nil {
			return nil, privateKeyError(prefix+"private_key", content, err)
		}
	}
	if certificate != "" {
		if keys, err = withCertificate(keys, certificate); err != nil {
			return nil, &ConfigError{prefix + "certificate", prose.Sentence("The certificate cannot be used: " + err.Error())}
		}
	}
	return keys, nil
}

func (r *Router) readHostKeys() error {
	var err error
	if r.hostKey, err = readHostKey("host_key", r.ssh.HostKey); err != nil {
		return err
	}
	if r.bastionKey, err = readHostKey("bastion.host_key", r.ssh.Bastion.HostKey); err != nil {
		return err
	}
	files := make([]string, 0, len(r.ssh.KnownHosts))
	for _, f := range r.ssh.KnownHosts {
		files = append(files, r.around.expand(f))
	}
	if own := filepath.Join(r.around.home, ".ssh", "known_hosts"); r.ssh.KnownHosts == nil && fileExists(own) {
		files = []string{own}
	}
	if fileExists(r.around.machineKnownHosts) {
		files = append(files, r.around.machineKnownHosts)
	}
	if r.knownHosts, err = readKnownHosts(files); err != nil {
		return &ConfigError{"known_hosts", prose.Sentence("The file cannot be read: " + err.Error())}
	}
	return nil
}

func readHostKey(attribute, text string) (knownKey, error) {
	if text == "" {
		return knownKey{}, nil
	}
	key, err := parseHostKey(text)
	if err != nil {
		return knownKey{}, &ConfigError{attribute, prose.Sentence("The key cannot be read: " + err.Error())}
	}
	return knownKey{key, attribute + " of the provider's ssh", true}, nil
}

func (r *Router) readWays() error {
	if r.ssh.Bastion.Host != "" && r.ssh.ProxyJump != "" {
		return &ConfigError{"proxy_jump", "Both bastion and proxy_jump say which host to go through: keep one of them. A chain of hosts needs proxy_jump."}
	}
	var err error
	if r.ssh.ProxyJump != "" {
		if r.jumps, err = splitChain(r.ssh.ProxyJump); err != nil {
			return &ConfigError{"proxy_jump", prose.Sentence(err.Error())}
		}
	}
	if r.ssh.UseSSHConfig {
		if r.config, err = readUserConfig(r.around, r.ssh.Passphrase); err != nil {
			return &ConfigError{"use_ssh_config", prose.Sentence("The SSH configuration cannot be read: " + err.Error())}
		}
	}
	return nil
}

// Resolve makes the address that connections are known by of one that may
// leave out the port or be a name in ~/.ssh/config.
func (r *Router) Resolve(address string) string {
	t, err := parseTarget(address)
	if err != nil {
		return address
	}
	ep, err := r.route(hop{target: t, login: r.login})
	if err != nil {
		return address
	}
	return ep.Address()
}
