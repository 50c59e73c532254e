package meshclient

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// commandEnd is a remote command that ended, and not as it should.
type commandEnd struct {
	what   string // "installing the agent"
	err    error  // of the session, nil for exit status 0
	noise  string // on stdout, before the script ran
	ran    bool   // the script ran, as root
	stderr string
}

// commandError finds out what it means that a command failed. It reads marks
// and exit statuses, never words.
func (c *conn) commandError(e commandEnd) error {
	e.ran = e.ran || strings.Contains(e.stderr, rootMark+"\n")
	exit, ok := errors.AsType[*ssh.ExitError](e.err)
	if e.err != nil && !ok || !e.ran && silentKill(exit, e) {
		// A command that ends without a status, or is killed before it has said
		// anything: the connection is going down, and the next caller must not be
		// given it again.
		c.close()
		return c.broken("the connection broke: %w", e.err)
	}
	code, address := 0, c.ep.address()
	if exit != nil {
		code = exit.ExitStatus()
	}
	if !e.ran {
		return c.refusal(e.noise, e.stderr, fmt.Sprintf("exit status %d", code))
	}
	stderr := after(e.stderr, rootMark)
	switch {
	case code == 127 && strings.Contains(stderr, noAgentMark+"\n"):
		return &NoAgentError{Address: address}
	case code == 3:
		return &AgentDownError{Address: address, Stderr: stderr}
	}
	return &CommandError{Address: address, What: e.what, Code: code, Stderr: stderr}
}

// silentKill tells a host that goes down from a login that refuses.
func silentKill(exit *ssh.ExitError, e commandEnd) bool {
	return exit != nil && exit.Signal() != "" && e.noise == "" && e.stderr == ""
}

// refusal is a login in which the script did not run as root: the login itself
// does not run commands, or sudo and doas refuse. how says how it ended.
func (c *conn) refusal(noise, stderr, how string) error {
	if strings.Contains(noise+stderr, loginMark+"\n") {
		return &SudoError{User: c.ep.user, Address: c.ep.address(), Stderr: cmp.Or(clean(after(noise, loginMark)+"\n"+after(stderr, loginMark)), how)}
	}
	said := clean(after(noise, loginMark) + "\n" + after(stderr, loginMark))
	return &LoginError{User: c.ep.user, Address: c.ep.address(), Said: said, How: how}
}

// notStarted is a command that the server did not take.
func (c *conn) notStarted(err error) error {
	if errors.Is(err, io.EOF) || !c.alive() {
		return c.broken("the command could not be started: %w", err)
	}
	return &LoginError{User: c.ep.user, Address: c.ep.address(), How: "the server refuses to run commands"}
}
