package meshclient_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// evil has what a terminal obeys, in seven and in eight bits, and what turns text round.
const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\r\x08"

func wantPlain(t *testing.T, what, text, has string) {
	t.Helper()
	if !strings.Contains(text, has) || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("%s: %q, which should be plain and say %q", what, text, has)
	}
}

// Whatever a stolen node says of itself, what is shown of it is plain text.
func TestEscapes_Agent(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, []string{"n1", "n2"}, "n1")
	n := f.Node("n2")
	n.Break(mesh.Problem{Code: mesh.ProblemMissing, Object: mesh.NodeRef("n2"), Part: evil, Text: evil + "Something is missing."})
	n.SetWarnings(mesh.Warning{Code: mesh.WarnHost, Object: mesh.NodeRef("n2"), Text: evil + "Something is wrong."})
	n.SetUnhealthy(mesh.EndpointHealth{Service: "web", Endpoint: "a", Address: netip.MustParseAddrPort("10.255.0.2:80"), Health: mesh.Unhealthy, Reason: evil + "refused"})
	c.DropSnapshot()
	snap := snapshotOf(t, c)
	wantPlain(t, "drift", strings.Join(snap.Drift(mesh.NodeRef("n2")), "\n"), "Something is missing.")
	wantPlain(t, "warnings", fmt.Sprint(snap.TrafficWarnings()), "Something is wrong.")
	n.SetProblems(func(*mesh.Record) []mesh.Problem {
		return []mesh.Problem{{Code: mesh.ProblemPortTaken, Object: mesh.MustParseRef("port/8000/tcp"), Text: evil + "Taken."}}
	}, nil)
	_, err := c.PutPort(deadline(t), "demo", port(8000), true)
	if err == nil {
		t.Fatal("no refusal")
	}
	wantPlain(t, "refusal", err.Error(), "Taken.")
}

// What a login prints, and what sudo says, is plain text in the message.
func TestEscapes_Login(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	cfg := f.ClientConfig()
	cfg.SSH.User = "deploy"
	n.SetLogin(meshtest.Login{SudoRefused: evil + "a password is required"})
	err := ask(t, cfg)
	if _, ok := errors.AsType[*sshdial.SudoError](err); !ok {
		t.Fatal(err)
	}
	wantPlain(t, "sudo", err.Error(), "a password is required")
	n.SetLogin(meshtest.Login{Prints: evil + "This account is locked.\n", Forced: true})
	wantPlain(t, "login", ask(t, cfg).Error(), "This account is locked.")
}
