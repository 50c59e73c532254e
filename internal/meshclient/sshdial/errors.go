package sshdial

import (
	"fmt"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// ConfigError is a setting that cannot work.
type ConfigError struct {
	// Attribute is a setting's path below the provider's ssh block:
	// "private_key", "bastion.private_key"; or "hosts" for an address that is
	// given to Router.Host. meshclient adds the provider's "on_unreachable".
	Attribute string
	// Detail says what and what to do, in sentences; never with a secret.
	Detail string
}

func (e *ConfigError) Error() string { return e.Attribute + ": " + e.Detail }

// UnreachableError is a host to which no SSH connection could be made, or
// whose connection broke.
type UnreachableError struct {
	Host     string // as configured: an entry of hosts, a node's name, "bastion"
	Address  string // host:port
	Attempts int    // 0 when an established connection broke
	Err      error
}

func (e *UnreachableError) Error() string {
	tries := ""
	if e.Attempts > 1 {
		tries = fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	// The server may have a word in the error: why it disconnects.
	return fmt.Sprintf("%s cannot be reached over SSH%s: %s", e.Address, tries, prose.CleanLines(fmt.Sprint(e.Err)))
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// AuthError is a login that the server refused.
type AuthError struct {
	User    string
	Address string // host:port
	// Tried has one entry per key or method that was shown to the server, as in
	// "publickey SHA256:… (private_key)"; NotTried what is configured and was
	// not, with the reason.
	Tried, NotTried []string
	// Offered is what the server accepts: "publickey", "password", ….
	Offered []string
	// Reason is set when the server gave one.
	Reason string
}

func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s refused the login of user %s.", e.Address, e.User)
	if e.Reason != "" {
		fmt.Fprintf(&b, " It says: %s", prose.Sentence(prose.Clean(e.Reason)))
	}
	fmt.Fprintf(&b, "\nTried: %s.", prose.ListOr(e.Tried, "nothing"))
	if len(e.NotTried) > 0 {
		fmt.Fprintf(&b, "\nNot tried: %s.", strings.Join(e.NotTried, "; "))
	}
	fmt.Fprintf(&b, "\nThe server offers: %s.", prose.Clean(prose.ListOr(e.Offered, "no method")))
	if len(e.Tried)+len(e.NotTried) == 0 {
		b.WriteString("\nNo key, agent or password is configured: set private_key, agent or password in the provider's ssh.")
	}
	return b.String()
}

// KnownHostKey is a host key that was known beforehand.
type KnownHostKey struct {
	Fingerprint string // SHA256:…
	Type        string // ssh-ed25519
	Source      string // where it was written down
}

// HostKeyError is a host key that is not the known one, or one that is not
// known at all under the policy "strict".
type HostKeyError struct {
	Address string // host:port
	// Known is empty when the host is unknown.
	Known   []KnownHostKey
	Revoked bool
	// Held tells that it is unknown where Pool.HoldToKnown wants a known one.
	Held bool
	// Fingerprint, Type and Key (authorized_keys form) are what the host showed.
	Fingerprint, Type, Key string
}

func (e *HostKeyError) Error() string {
	shown := fmt.Sprintf("%s (%s)", e.Fingerprint, e.Type)
	switch {
	case e.Revoked:
		return fmt.Sprintf("%s shows the host key %s, which is revoked by %s. Do not connect.", e.Address, shown, e.Known[0].Source)
	case len(e.Known) == 0:
		why := `host_key_policy is "strict"`
		if e.Held {
			why = "an apply that changes or removes something does not accept a key at first sight. Plan again, with a refresh: that pins the key for the apply. " +
				"Or make it known"
		}
		return fmt.Sprintf("%s is not a known host, and %s. It shows the host key %s.\n"+
			"Compare that with `ssh-keygen -lf` of the .pub files in /etc/ssh on the host itself. If it is the same, set host_key = %q, "+
			"or add this line to a known_hosts file: %s %s", e.Address, why, shown, e.Key, knownHostsName(e.Address), e.Key)
	}
	known := make([]string, 0, len(e.Known))
	for _, k := range e.Known {
		known = append(known, fmt.Sprintf("%s (%s, from %s)", k.Fingerprint, k.Type, k.Source))
	}
	return fmt.Sprintf("%s shows another host key than the known one.\nIt shows %s.\nKnown is %s.\n"+
		"Either the host was reinstalled, or someone may be intercepting the connection. If it was reinstalled, correct the known key, "+
		"for example with host_key = %q; otherwise do not connect.", e.Address, shown, strings.Join(known, " or "), e.Key)
}

// LoginError is a login that the server takes, and that does not run commands.
type LoginError struct {
	User, Address string
	// Said is what the host printed instead, fit for a message; "" for nothing.
	Said string
	// How says how it ended: "exit status 1".
	How string
}

func (e *LoginError) Error() string {
	text := fmt.Sprintf("%s takes the login of user %s, and does not run commands in it (%s).", e.Address, e.User, e.How)
	if e.Said != "" {
		text = fmt.Sprintf("%s takes the login of user %s, and does not run commands in it. The host says: %s (%s)", e.Address, e.User, prose.Sentence(e.Said), e.How)
	}
	return text + fmt.Sprintf("\nSet ssh.user to a user that may log in and run commands, as root or with sudo or doas (cloud images refuse root, and name the user to take). "+
		"To keep user %s: give it a login shell (usermod -s /bin/sh %s), and remove ForceCommand from sshd_config and command=\"…\" from its authorized_keys.", e.User, e.User)
}

// SessionsError is an SSH server that takes the login and no session.
type SessionsError struct {
	Address string
	Err     error
}

func (e *SessionsError) Error() string {
	return fmt.Sprintf("%s takes the login, and opens no session for a command (%s). "+
		"MaxSessions in its sshd_config must be 1 or more, also in the Match block of the user (`sshd -T -C user=USER | grep -i maxsessions` shows it).", e.Address, prose.Clean(fmt.Sprint(e.Err)))
}

func (e *SessionsError) Unwrap() error { return e.Err }

// SudoError is a login that may not become root without a password.
type SudoError struct {
	User, Address string
	Stderr        string
}

func (e *SudoError) Error() string {
	return fmt.Sprintf("user %s on %s cannot run commands as root with `sudo -n` or `doas -n`. The host says: %s\n"+
		"Log in as root, allow it in sudoers (%s ALL=(root) NOPASSWD: ALL) or doas.conf (permit nopass %s), or set ssh.sudo = false if the user needs no sudo.",
		e.User, e.Address, prose.Sentence(prose.Clean(e.Stderr)), e.User, e.User)
}

// CommandError is a remote command that failed.
type CommandError struct {
	Address string
	What    string // "installing the agent"
	Code    int    // exit status, -1 when the session ended without one
	Stderr  string // the last of it
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s on %s failed with exit status %d", e.What, e.Address, e.Code)
	if s := prose.CleanLines(e.Stderr); s != "" {
		text += ":\n" + s
	}
	return text
}
