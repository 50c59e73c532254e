package sshdial

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/kevinburke/ssh_config"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// userConfig is ~/.ssh/config. Of its keywords these count: Host, HostName,
// User, Port, IdentityFile, ProxyJump, UserKnownHostsFile. A ProxyCommand that is
// `ssh -W %h:%p HOST` counts as ProxyJump; another one is refused, since to run a
// program is more than to read a file.
type userConfig struct {
	parsed     *ssh_config.Config
	around     surroundings
	passphrase string   // tried on encrypted identity files
	warnings   []string // what is passed over
	mu         sync.Mutex
	found      map[string]configEntry
}

// configEntry is what ~/.ssh/config says of one host.
type configEntry struct {
	hostName, user string
	port           uint16
	identities     []identity
	jumps          []target
	proxyCommand   string // that is not run
	knownHosts     *knownHosts
}

// readUserConfig reads ~/.ssh/config; a file that is not there is empty.
func readUserConfig(around surroundings, passphrase string) (*userConfig, error) {
	path := filepath.Join(around.home, ".ssh", "config")
	u := &userConfig{parsed: &ssh_config.Config{}, around: around, passphrase: passphrase, found: map[string]configEntry{}}
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, err
	}
	u.parsed, u.warnings, err = decodeConfig(path, string(content), around)
	return u, err
}

// lookup returns what the configuration says of a host; a nil one says nothing.
func (u *userConfig) lookup(alias string) (configEntry, error) {
	if u == nil {
		return configEntry{}, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if e, ok := u.found[alias]; ok {
		return e, nil
	}
	e, err := u.read(alias)
	if err == nil {
		u.found[alias] = e
	}
	return e, err
}

func (u *userConfig) read(alias string) (configEntry, error) {
	var e configEntry
	fail := func(keyword, value string, err error) (configEntry, error) {
		return e, &ConfigError{"use_ssh_config", fmt.Sprintf("~/.ssh/config says %s %q for host %s: %v.", keyword, value, alias, err)}
	}
	e.hostName = strings.ReplaceAll(u.get(alias, "HostName"), "%h", alias)
	e.user = u.get(alias, "User")
	if p := u.get(alias, "Port"); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return fail("Port", p, errors.New("want 1–65535"))
		}
		e.port = uint16(n)
	}
	j := u.get(alias, "ProxyJump")
	if j == "" { // else OpenSSH ignores ProxyCommand
		j, e.proxyCommand = u.proxyCommand(alias)
	}
	if j != "" && !strings.EqualFold(j, "none") {
		hops, err := splitChain(j)
		if err != nil {
			return fail("ProxyJump", j, err)
		}
		e.jumps = hops
	}
	var err error
	if e.knownHosts, err = u.knownHosts(alias); err != nil {
		return fail("UserKnownHostsFile", u.get(alias, "UserKnownHostsFile"), err)
	}
	e.identities = u.identities(alias)
	return e, nil
}

// ownJump is the ProxyCommand that was written before there was ProxyJump.
var ownJump = regexp.MustCompile(`^(?:/usr/bin/)?ssh (?:-q )?(?:-W \[?%h\]?:%p (?:-q )?(\S+)|(\S+) -W \[?%h\]?:%p)$`)

// proxyCommand is the jump that the host's ProxyCommand is, or a command that is
// not run.
func (u *userConfig) proxyCommand(alias string) (jump, command string) {
	command = strings.Join(strings.Fields(u.get(alias, "ProxyCommand")), " ")
	if m := ownJump.FindStringSubmatch(command); m != nil && !strings.HasPrefix(m[1]+m[2], "-") {
		return m[1] + m[2], ""
	}
	if strings.EqualFold(command, "none") {
		return "", ""
	}
	return "", command
}

// notRun refuses a way that the provider cannot go.
func (e configEntry) notRun(host string) error {
	return &ConfigError{"use_ssh_config", fmt.Sprintf("~/.ssh/config says ProxyCommand %s for host %s, which the provider does not run. "+
		"Write it as ProxyJump, set bastion or proxy_jump in the provider's ssh, or add `ProxyCommand none` for the host.", prose.CleanWord(e.proxyCommand), host)}
}

func (u *userConfig) get(alias, keyword string) string {
	// The error is of Includes that cannot be read, which OpenSSH passes over.
	value, _ := u.parsed.Get(alias, keyword)
	return strings.Trim(value, `"`)
}

func (u *userConfig) path(alias, value string) string {
	r := strings.NewReplacer("%d", u.around.home, "%h", alias, "%n", alias, "%%", "%")
	return u.around.expand(r.Replace(strings.Trim(value, `"`)))
}

// identities reads the IdentityFiles, or OpenSSH's own defaults where none is
// named. What is missing or cannot be opened is passed over, as ssh does in
// batch mode.
func (u *userConfig) identities(alias string) []identity {
	files, _ := u.parsed.GetAll(alias, "IdentityFile")
	if len(files) == 0 {
		files = []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"}
	}
	var ids []identity
	for _, f := range files {
		content, err := os.ReadFile(u.path(alias, f))
		if err != nil {
			continue
		}
		if found, err := parsePrivateKeys(string(content), u.passphrase, f); err == nil {
			ids = append(ids, found...)
		}
	}
	return ids
}

func (u *userConfig) knownHosts(alias string) (*knownHosts, error) {
	value := u.get(alias, "UserKnownHostsFile")
	var files []string
	for f := range strings.FieldsSeq(value) {
		if path := u.path(alias, f); fileExists(path) {
			files = append(files, path)
		}
	}
	return readKnownHosts(files)
}

func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
