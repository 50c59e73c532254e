package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// maxQuote is how much of a text of an engine's is shown, in bytes.
const maxQuote = 200

// refusal is an answer with a status other than 200.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string {
	if r.text == "" {
		return fmt.Sprintf("it answers with HTTP status %d", r.status)
	}
	return fmt.Sprintf("it answers with HTTP status %d and %s", r.status, quote(r.text))
}

// malformed is an answer that cannot be read.
type malformed struct{ text, want string }

func (m *malformed) Error() string {
	if m.text == "" {
		return "it answers nothing where " + m.want + " is expected"
	}
	return fmt.Sprintf("it answers %s where %s is expected", quote(m.text), m.want)
}

type tooLarge struct{ limit int64 }

func (t *tooLarge) Error() string {
	return fmt.Sprintf("its answer has more than %d MiB", t.limit>>20)
}

// unsupported is an engine that speaks no version that is spoken here.
type unsupported struct {
	offer
	tooNew bool
}

func (u *unsupported) Error() string {
	if u.tooNew {
		return fmt.Sprintf("its version %s speaks the API from %s to %s, which is newer than this agent's: %s to %s", quote(u.product), u.oldest, u.newest, oldestAPI, newestAPI)
	}
	return fmt.Sprintf("its version %s speaks the API up to %s, and this agent from %s", quote(u.product), u.newest, oldestAPI)
}

var (
	errTimeout = errors.New("it does not answer in time")
	errCut     = errors.New("it ends the connection before its answer is complete")
)

// reason is why a request failed, without the request and the addresses around it.
func reason(err error) error {
	var timeout interface{ Timeout() bool }
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	case errors.Is(err, errPeer):
		return errPeer
	case errors.As(err, &errno) && errno != syscall.EPIPE && errno != syscall.ECONNRESET:
		return errno
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "server gave HTTP response"):
		return &malformed{"", "HTTP"}
	}
	return errCut
}

// advice is what a user can do about an error.
func advice(s source, err error) string {
	var version *unsupported
	switch {
	case errors.As(err, &version) && version.tooNew:
		return "Update the provider, and the agents with it"
	case errors.As(err, &version):
		return "Update the engine"
	case errors.Is(err, errPeer):
		return "Remove what is there, and start the user's own Podman"
	case errors.Is(err, os.ErrPermission):
		return "Let the agent connect: SELinux or AppArmor may forbid it"
	case s.uid != anyUser:
		return fmt.Sprintf(`See "systemctl --user status podman.socket" as the user with ID %d`, s.uid)
	case s.name == "podman":
		return `See "systemctl status podman.socket podman.service"`
	}
	return `See "systemctl status docker.service"`
}

// sentence is the text of a fault.
func sentence(s source, err error) string {
	return fmt.Sprintf("The containers of %s are not known while it cannot be asked on %s: %v. %s.", s.name, s.path, err, advice(s, err))
}

// kind is the same for errors that differ only in a text of the engine's, which may change from
// try to try.
func kind(err error) string {
	var r *refusal
	var m *malformed
	switch {
	case errors.As(err, &r):
		return fmt.Sprintf("status %d", r.status)
	case errors.As(err, &m):
		return "not " + m.want
	}
	return err.Error()
}

// isMissing says that nothing is there to be asked.
func isMissing(err error) bool { return errors.Is(err, syscall.ENOENT) }

// isGone says that an engine does not know a container any more.
func isGone(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

// message is the text of a refusal: engines say {"message": "…"}.
func message(body []byte) string {
	var answer struct{ Message string }
	if json.Unmarshal(body, &answer) == nil && answer.Message != "" {
		return answer.Message
	}
	return string(body)
}

// quote makes a text of an engine's fit to be shown.
func quote(s string) string {
	return fmt.Sprintf("%q", strings.Join(strings.Fields(plain.Text(short(s))), " "))
}

// short is the beginning of s, in whole characters.
func short(s string) string {
	if len(s) <= maxQuote {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuote-len("…")], "") + "…"
}
