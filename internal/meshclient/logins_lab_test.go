//go:build lab

// Logins as hosts have them, on a real node: shells, sudo, doas, what a login
// prints, sshd's limits. It needs the lab (make lab-up).
package meshclient

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig/rigtest"
)

// loginLab is node n1 of the lab with the users of testdata/logins_up.sh.
type loginLab struct {
	*rigtest.World
	t      *testing.T
	client *Client
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (l *loginLab) on(script string) string {
	l.t.Helper()
	return l.On(l.t, "n1", script)
}

// look is what the test changes on the node, and must leave as it was.
const look = `set +e; stat -c '%n %a %U %s %Y' /etc/passwd /etc/shadow; stat -c '%n %a %U' /root; sha256sum /etc/passwd /etc/shadow /etc/ssh/sshd_config; cat /etc/doas.conf 2>/dev/null
ls -a /etc/sudoers.d /usr/local/bin /usr/local/lib /opt /var/lib/routingmesh /root /tmp 2>/dev/null | grep -v systemd-private; systemctl cat routingmesh-agent 2>/dev/null; true`

func newLoginLab(t *testing.T) *loginLab {
	t.Helper()
	l := &loginLab{World: rigtest.New(t, "logins"), t: t}
	before := l.on(look)
	t.Cleanup(func() {
		l.on(testdata(t, "logins_down.sh"))
		if after := l.on(look); after != before {
			t.Errorf("the node is not as it was:\n%s\nwas\n%s", after, before)
		}
	})
	l.on(testdata(t, "logins_up.sh"))
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", filepath.Join(l.Lab.Dir, "ssh_config"), "-G", "n1").Output()
	if err != nil {
		t.Fatal(err)
	}
	ssh := map[string]string{}
	for line := range bytes.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		ssh[key] = cmp.Or(ssh[key], value)
	}
	key, err := os.ReadFile(ssh["identityfile"])
	if err != nil {
		t.Fatal(err)
	}
	no := false
	l.client, err = New(Config{Hosts: []string{"127.0.0.1:2622"}, SSH: sshdial.Config{
		PrivateKey: string(key), Agent: &no, HostKeyPolicy: sshdial.HostKeyInsecure, KnownHosts: []string{}, Timeout: 2 * time.Minute,
		Bastion: sshdial.BastionConfig{Host: ssh["hostname"] + ":" + ssh["port"], User: "root"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.client.Close() })
	return l
}

func (l *loginLab) endpoint(user, port string) *sshdial.Endpoint {
	l.t.Helper()
	ep, err := l.client.router.Host(user + "@127.0.0.1:" + port)
	if err != nil {
		l.t.Fatal(err)
	}
	ep.Sudo = user != "lroot"
	return ep
}

func (l *loginLab) status(ctx context.Context, user, port string) error {
	_, err := l.client.agents.Status(ctx, l.endpoint(user, port), "", 2*time.Minute)
	return err
}

// all asks for a status by every login at once.
func (l *loginLab) all(ctx context.Context, what string, check func(error) error, port string, users ...string) {
	l.t.Helper()
	var g errgroup.Group
	for _, user := range users {
		g.Go(func() error {
			if err := check(l.status(ctx, user, port)); err != nil {
				l.t.Errorf("%s, %s at port %s: %v", what, user, port, err)
			}
			return nil
		})
	}
	_ = g.Wait() // errors are reported where they happen
}

func hasNone(err error) error {
	if !agentapi.IsNoAgent(err) {
		return fmt.Errorf("want that there is no agent: %w", cmp.Or(err, errors.New("it answers")))
	}
	return nil
}

func answers(err error) error { return err }

// says wants an error of the type, with the words.
func says[E error](words string) func(error) error {
	return func(err error) error {
		if _, ok := errors.AsType[E](err); !ok || !strings.Contains(err.Error(), words) {
			return fmt.Errorf("want %T with %q, not: %w", *new(E), words, cmp.Or(err, errors.New("it answers")))
		}
		return nil
	}
}

// working are the logins that must do.
var working = []string{"lsh", "lbash", "lzsh", "lfish", "ltcsh", "lroot", "lde", "ldoas", "lnoise", "lms1", "lms2"}

func TestAccLogins(t *testing.T) {
	l := newLoginLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l.all(ctx, "before an install", hasNone, "2622", working...)
	l.all(ctx, "MaxStartups 1", hasNone, "2623", "lsh", "lbash", "lzsh")
	for user, check := range map[string]func(error) error{
		"ldeno": says[*sshdial.SudoError]("Passwort"), "lrs": says[*sshdial.SudoError]("sudo-rs: interactive authentication is required"),
		"lnologin": says[*sshdial.LoginError]("currently not available"), "lsftp": says[*sshdial.LoginError]("sftp"),
		"lcloud": says[*sshdial.LoginError](`Please login as the user "ubuntu" rather than the user "root".`), "lms0": says[*sshdial.SessionsError]("MaxSessions"),
	} {
		if err := check(l.status(ctx, user, "2622")); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	// tcsh, a German sudo and MaxSessions 1 install and uninstall; then a read-only
	// /usr with a noexec /tmp, where doas uninstalls.
	for _, by := range []struct{ install, port, uninstall, link string }{
		{"lms1", "2622", "lms1", "/usr/local/bin/routingmesh-agent"},
		{"lroot", "2624", "ldoas", "/opt/routingmesh/bin/routingmesh-agent"},
	} {
		if err := l.client.agents.Install(ctx, l.endpoint(by.install, by.port)); err != nil {
			t.Fatalf("%s at port %s: install: %v", by.install, by.port, err)
		}
		if unit := l.on("cat /etc/systemd/system/routingmesh-agent.service"); !strings.Contains(unit, "ExecStart="+by.link+" run") {
			t.Errorf("port %s: the unit is %s", by.port, unit)
		}
		l.all(ctx, "after "+by.install+"'s install", answers, "2622", append([]string{"lms1", "lms1", "lms1", "lms2", "lms2"}, working...)...)
		if err := l.client.agents.Uninstall(ctx, l.endpoint(by.uninstall, by.port)); err != nil {
			t.Fatalf("%s at port %s: uninstall: %v", by.uninstall, by.port, err)
		}
	}
	l.all(ctx, "after the uninstall", hasNone, "2624", "lsh", "lms1")
}
