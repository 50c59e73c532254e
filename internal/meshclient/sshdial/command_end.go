package sshdial

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
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
func (c *Conn) commandError(e commandEnd) error {
	e.ran = e.ran || strings.Contains(e.stderr, rootMark+"\n")
	exit, ok := errors.AsType[*ssh.ExitError](e.err)
	if e.err != nil && !ok || !e.ran && silentKill(exit, e) {
		// A command that ends without a status, or is killed before it has said
		// anything: the connection is going down, and the next caller must not be
		// given it again.
		c.close()
		return c.broken("the connection broke: %w", e.err)
	}
	code := 0
	if exit != nil {
		code = exit.ExitStatus()
	}
	if !e.ran {
		return c.refusal(e.noise, e.stderr, fmt.Sprintf("exit status %d", code))
	}
	return &CommandError{Address: c.ep.Address(), What: e.what, Code: code, Stderr: after(e.stderr, rootMark)}
}

// silentKill tells a host that goes down from a login that refuses.
func silentKill(exit *ssh.ExitError, e commandEnd) bool {
	return exit != nil && exit.Signal() != "" && e.noise == "" && e.stderr == ""
}

// refusal is a login in which the script did not run as root: the login itself
// does not run commands, or sudo and doas refuse. how says how it ended.
func (c *Conn) refusal(noise, stderr, how string) error {
	if strings.Contains(noise+stderr, loginMark+"\n") {
		return &SudoError{User: c.ep.User, Address: c.ep.Address(), Stderr: cmp.Or(prose.Clean(after(noise, loginMark)+"\n"+after(stderr, loginMark)), how)}
	}
	said := prose.Clean(after(noise, loginMark) + "\n" + after(stderr, loginMark))
	return &LoginError{User: c.ep.User, Address: c.ep.Address(), Said: said, How: how}
}

// notStarted is a command that the server did not take.
func (c *Conn) notStarted(err error) error {
	if errors.Is(err, io.EOF) || !c.alive() {
		return c.broken("the command could not be started: %w", err)
	}
	return &LoginError{User: c.ep.User, Address: c.ep.Address(), How: "the server refuses to run commands"}
}
