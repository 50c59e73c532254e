package sshdial_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// A login that prints in place of running the command is no host that cannot be
// reached, and its words are quoted without what a terminal would do with them.
func TestLogin_NoCommands_QuotesTheHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ prints, want string }{
		"cloud-init":  {"Please login as the user \"ubuntu\" rather than the user \"root\".\n\n", `The host says: Please login as the user "ubuntu" rather than the user "root". (exit status 142)`},
		"nologin":     {"This account is currently not available.\n", "This account is currently not available. (exit status 142)"},
		"terminal":    {"\x1b[2J\x1b]0;title\x07red\x1b[31m\x00\u202e\xff\r\n", "The host says: red? (exit"},
		"nothing":     {"", "does not run commands in it (exit status 142)"},
		"much of all": {strings.Repeat("a", 300_000), " … aaa"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, n := installed(t)
			n.SetLogin(meshtest.Login{Prints: c.prints, Forced: true})
			err := ask(t, n, f.ClientConfig().SSH)
			if _, ok := errors.AsType[*sshdial.LoginError](err); !ok {
				t.Fatalf("it is %v", err)
			}
			wantText(t, err, c.want, "ssh.user", n.Addr())
			if strings.Contains(err.Error(), "cannot be reached") || len(err.Error()) > 2000 {
				t.Errorf("%d bytes: %v", len(err.Error()), err)
			}
		})
	}
}

// A server that opens no session at all is told from one that cannot be reached.
func TestMaxSessions_None_SaysSo(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	n.SetLogin(meshtest.Login{MaxSessions: -1})
	err := ask(t, n, f.ClientConfig().SSH)
	if _, ok := errors.AsType[*sshdial.SessionsError](err); !ok {
		t.Fatalf("it is %v", err)
	}
	wantText(t, err, "MaxSessions", n.Addr())
}

// With MaxStartups 1 the logins of several users to one host come in turns.
func TestMaxStartups_One_ComesThrough(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	n.SetLogin(meshtest.Login{MaxStartups: 1})
	if err := ask(t, n, f.ClientConfig().SSH); err != nil {
		t.Error(err)
	}
}

func TestSudo(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	cfg := f.ClientConfig().SSH
	cfg.User = "deploy"
	if err := ask(t, n, cfg); err != nil || n.CountCommands("sudo -n") != 1 || len(n.Commands()) != 1 {
		t.Errorf("%v, %q", err, n.Commands())
	}
	// The words are the host's, in any language and of any program.
	for _, says := range []string{
		"sudo: a password is required", "sudo: Ein Passwort ist notwendig", "sudo-rs: interactive authentication is required",
		"doas: Operation not permitted", "I'm sorry deploy. I'm afraid I can't do that", "neither sudo nor doas is installed",
	} {
		n.SetLogin(meshtest.Login{SudoRefused: says})
		err := ask(t, n, cfg)
		if _, ok := errors.AsType[*sshdial.SudoError](err); !ok {
			t.Errorf("%q is understood as %v", says, err)
			continue
		}
		wantText(t, err, "deploy", "NOPASSWD", "permit nopass", says)
	}
	n.SetLogin(meshtest.Login{})
	n.SetInstalled(false)
	if failed, ok := errors.AsType[*sshdial.CommandError](ask(t, n, cfg)); !ok || failed.Code != 127 {
		t.Error("a missing agent is taken for a failure of sudo")
	}
	no := false
	cfg.Sudo = &no
	err := ask(t, n, cfg)
	wantText(t, err, "permission denied")
}
