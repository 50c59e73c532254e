package sshdial

import "time"

// DefaultTimeout is Config.Timeout where none is set.
const DefaultTimeout = 30 * time.Second

// Config is how to reach and log in to every host that says nothing else.
type Config struct {
	User string // default root
	Port uint16 // default 22
	// PrivateKey is PEM content; several concatenated keys are all tried.
	PrivateKey string
	Passphrase string // of PrivateKey
	// Certificate is an OpenSSH user certificate for one of the private keys,
	// in authorized_keys form.
	Certificate string
	Password    string
	// Agent uses the SSH agent; nil uses it where there is a socket.
	Agent       *bool
	AgentSocket string // default $SSH_AUTH_SOCK
	Bastion     BastionConfig
	// ProxyJump is a chain of hosts to go through, as in ssh -J.
	ProxyJump string
	// HostKey is the key, in authorized_keys form, of every host that has no
	// own.
	HostKey string
	// KnownHosts are known_hosts files; nil takes ~/.ssh/known_hosts if it is
	// there.
	KnownHosts    []string
	HostKeyPolicy HostKeyPolicy
	// UseSSHConfig reads Host, HostName, User, Port, IdentityFile, ProxyJump
	// and UserKnownHostsFile from ~/.ssh/config.
	UseSSHConfig bool
	// Sudo puts "sudo -n" before commands; nil does when the user is not root.
	Sudo *bool
	// Timeout bounds dial and login of one connection, retries included;
	// default DefaultTimeout.
	Timeout time.Duration
}

// BastionConfig is a host to go through. What is empty is as for the hosts.
type BastionConfig struct {
	Host        string
	Port        uint16
	User        string
	Password    string
	PrivateKey  string
	Certificate string
	HostKey     string
}

// HostKeyPolicy says what to do about a host whose key is not known. A key
// that is known and differs is refused by all but HostKeyInsecure.
type HostKeyPolicy string

const (
	// HostKeyDefault is HostKeyAcceptNew.
	HostKeyDefault HostKeyPolicy = ""
	// HostKeyStrict refuses a host whose key is not known.
	HostKeyStrict HostKeyPolicy = "strict"
	// HostKeyAcceptNew accepts the first key seen and holds the host to it.
	HostKeyAcceptNew HostKeyPolicy = "accept-new"
	// HostKeyInsecure accepts any key.
	HostKeyInsecure HostKeyPolicy = "insecure"
)
