package sshdial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// login is what an endpoint may log in with, in the order of trying: keys,
// those of the SSH agent, password.
type login struct {
	keys        []identity
	agentSocket string // "" for none
	agentMust   bool   // asked for, not just found
	password    string
	kept        bool // there is a password, and it is not for this host
}

// attempt is one login: it notes what was tried and what the server offers,
// since the SSH library's own error has neither.
type attempt struct {
	login   *login
	user    string
	address string

	identities []identity // shown to the server if it takes keys
	agentErr   error
	agentConn  net.Conn
	trusted    func() bool // the host key was known: it may have the password
	began      bool        // the host key was accepted, authentication started
	offered    []string
	tried      []string // method names that failed
}

func newAttempt(ctx context.Context, ep *Endpoint, trusted func() bool) *attempt {
	a := &attempt{trusted: trusted, login: ep.login, user: ep.User, address: ep.Address(), identities: slices.Clone(ep.login.keys)}
	if ep.login.agentSocket != "" {
		a.askAgent(ctx)
	}
	return a
}

func (a *attempt) askAgent(ctx context.Context) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", a.login.agentSocket)
	if err != nil {
		a.agentErr = err
		return
	}
	a.agentConn = conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		a.agentErr = err
		return
	}
	for _, s := range signers {
		a.identities = append(a.identities, identity{s, "agent"})
	}
}

func (a *attempt) close() {
	if a.agentConn != nil {
		a.agentConn.Close()
	}
}

// configure sets the authentication part of cfg.
func (a *attempt) configure(cfg *ssh.ClientConfig) {
	cfg.User = a.user
	if len(a.identities) > 0 {
		signers := make([]ssh.Signer, 0, len(a.identities))
		for _, id := range a.identities {
			signers = append(signers, id.signer)
		}
		cfg.Auth = append(cfg.Auth, ssh.PublicKeys(signers...))
	}
	if a.login.password != "" {
		cfg.Auth = append(cfg.Auth, ssh.PasswordCallback(a.secret), ssh.KeyboardInteractive(a.answer))
	}
	// Called before every method: the only place where the library says what
	// the server offers.
	cfg.AuthCallback = func(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
		a.began = true
		if len(c.AllowedMethods) > 0 {
			a.offered = c.AllowedMethods
		}
		a.tried = c.TriedMethods
		return nil, nil
	}
}

// errUnknownHost keeps the password from a host that might be anyone.
var errUnknownHost = errors.New("the host's key was not known before, and a password is sent to known hosts only: put the key into a known_hosts file, " +
	"or into host_key (bastion_host_key), after comparing it with `ssh-keygen -lf` of the .pub files in /etc/ssh on the host itself")

func (a *attempt) secret() (string, error) {
	if !a.trusted() {
		return "", errUnknownHost
	}
	return a.login.password, nil
}

// answer gives the password to every hidden prompt, as PAM asks for it.
func (a *attempt) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	if len(questions) > 0 && !a.trusted() {
		return nil, errUnknownHost
	}
	answers := make([]string, len(questions))
	for i := range questions {
		if !echos[i] {
			answers[i] = a.login.password
		}
	}
	return answers, nil
}

// failure makes an *AuthError of a handshake error that is the server's
// refusal, nil of any other.
func (a *attempt) failure(err error) *AuthError {
	if !a.began || err == nil {
		return nil
	}
	text := err.Error()
	reason := ""
	switch {
	case errors.Is(err, errUnknownHost), strings.Contains(text, "unable to authenticate"), strings.Contains(text, "no common public key signature algorithm"):
	case strings.Contains(strings.ToLower(text), "too many authentication failures"):
		reason = "too many authentication failures (there are more keys than it lets anyone try: name the right one)"
	default:
		return nil
	}
	e := &AuthError{User: a.user, Address: a.address, Offered: a.offered, Reason: reason}
	e.Tried, e.NotTried = a.describe(reason != "")
	return e
}

// describe lists what was shown to the server. cut is set when the server
// ended the login, so that the last method never came back as tried.
func (a *attempt) describe(cut bool) (tried, notTried []string) {
	was := func(method string) bool {
		return slices.Contains(a.tried, method) || (cut && slices.Contains(a.offered, method))
	}
	keys := make([]string, 0, len(a.identities))
	for _, id := range a.identities {
		keys = append(keys, id.String())
	}
	if was("publickey") {
		tried = append(tried, keys...)
	} else if len(keys) > 0 {
		notTried = append(notTried, strings.Join(keys, ", ")+": the server takes no keys")
	}
	if a.login.password != "" && !a.trusted() && (slices.Contains(a.offered, "password") || slices.Contains(a.offered, "keyboard-interactive")) {
		notTried = append(notTried, "password: "+errUnknownHost.Error())
	} else if a.login.password != "" {
		shown := false
		for _, m := range []string{"password", "keyboard-interactive"} {
			if was(m) {
				tried, shown = append(tried, m), true
			}
		}
		if !shown {
			notTried = append(notTried, "password: the server takes none")
		}
	}
	switch {
	case a.login.kept:
		notTried = append(notTried, "password: it is for the bastion that the provider's ssh names, not for one of a node's own")
	case a.agentErr != nil:
		notTried = append(notTried, fmt.Sprintf("agent: %v", a.agentErr))
	case a.login.agentSocket != "" && !slices.ContainsFunc(a.identities, func(i identity) bool { return i.source == "agent" }):
		notTried = append(notTried, "agent: it holds no key")
	case a.login.agentMust && a.login.agentSocket == "":
		notTried = append(notTried, "agent: "+errNoAgentSocket.Error())
	}
	return tried, notTried
}

var errNoAgentSocket = errors.New("SSH_AUTH_SOCK is not set")
