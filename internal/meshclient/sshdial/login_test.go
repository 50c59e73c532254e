package sshdial_test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// serveAgent is an SSH agent with the keys, on a socket.
func serveAgent(t *testing.T, keys ...any) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }() // ends with the connection
		}
	}()
	return socket
}

func rawKey(t *testing.T, private string) any {
	t.Helper()
	k, err := ssh.ParseRawPrivateKey([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestLogin(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	stranger, _ := meshtest.NewKey(t)
	_, authority := meshtest.NewKey(t)
	yes := true
	own, err := ssh.ParsePrivateKey([]byte(f.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: own.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"root"}, ValidBefore: ssh.CertTimeInfinity}
	certify(t, cert, own, authority)
	for name, c := range map[string]struct {
		server meshtest.Login
		client sshdial.Config
	}{
		"key":                  {client: sshdial.Config{PrivateKey: f.PrivateKey}},
		"second of two keys":   {client: sshdial.Config{PrivateKey: stranger + f.PrivateKey}},
		"key without last \\n": {client: sshdial.Config{PrivateKey: "\n  " + strings.TrimSpace(f.PrivateKey)}},
		"agent":                {client: sshdial.Config{Agent: &yes, AgentSocket: serveAgent(t, rawKey(t, f.PrivateKey))}},
		"agent after a key":    {client: sshdial.Config{PrivateKey: stranger, Agent: &yes, AgentSocket: serveAgent(t, rawKey(t, f.PrivateKey))}},
		"password":             {meshtest.Login{Password: "pw", NoKeys: true}, sshdial.Config{Password: "pw"}},
		"password after a key": {meshtest.Login{Password: "pw"}, sshdial.Config{PrivateKey: stranger, Password: "pw"}},
		"keyboard-interactive": {meshtest.Login{Password: "pw", Interactive: true}, sshdial.Config{Password: "pw"}},
		"certificate": {
			meshtest.Login{Authority: authority.PublicKey()},
			sshdial.Config{PrivateKey: f.PrivateKey, Certificate: string(ssh.MarshalAuthorizedKey(cert))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n.SetLogin(c.server)
			cfg := f.ClientConfig().SSH
			no := cfg.Agent
			cfg = c.client
			cfg.KnownHosts, cfg.HostKey = []string{}, n.HostKey // a password is for known hosts only
			if cfg.Agent == nil {
				cfg.Agent = no
			}
			if err := ask(t, n, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	_, n := installed(t)
	stranger, signer := meshtest.NewKey(t)
	inAgent, agentSigner := meshtest.NewKey(t)
	key, second := ssh.FingerprintSHA256(signer.PublicKey()), ssh.FingerprintSHA256(agentSigner.PublicKey())
	yes, no := true, false
	for name, c := range map[string]struct {
		server meshtest.Login
		client sshdial.Config
		want   string
	}{
		"nothing to show": {
			client: sshdial.Config{Agent: &no},
			want: `ADDRESS refused the login of user root.
Tried: nothing.
The server offers: publickey.
No key, agent or password is configured: set private_key, agent or password in the provider's ssh.`,
		},
		"strange keys": {
			client: sshdial.Config{PrivateKey: stranger, Agent: &yes, AgentSocket: serveAgent(t, rawKey(t, inAgent)), User: "deploy"},
			want: `ADDRESS refused the login of user deploy.
Tried: publickey ` + key + ` (private_key), publickey ` + second + ` (agent).
The server offers: publickey.`,
		},
		"wrong password": {
			meshtest.Login{Password: "right", NoKeys: true},
			sshdial.Config{PrivateKey: stranger, Password: "wrong", Agent: &no},
			`ADDRESS refused the login of user root.
Tried: password.
Not tried: publickey ` + key + ` (private_key): the server takes no keys.
The server offers: password.`,
		},
		"unknown host": {
			meshtest.Login{Password: "right", NoKeys: true, Tried: func() { t.Error("it was sent the password") }},
			sshdial.Config{Password: "right", Agent: &no},
			`ADDRESS refused the login of user root.
Tried: nothing.
Not tried: password: the host's key was not known before, and a password is sent to known hosts only: put the key into a known_hosts file, ` +
				"or into host_key (bastion_host_key), after comparing it with `ssh-keygen -lf` of the .pub files in /etc/ssh on the host itself." + `
The server offers: password.`,
		},
		"password where none is taken": {
			client: sshdial.Config{Password: "pw", Agent: &yes, AgentSocket: serveAgent(t)},
			want: `ADDRESS refused the login of user root.
Tried: nothing.
Not tried: password: the server takes none; agent: it holds no key.
The server offers: publickey.`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			n.SetLogin(c.server)
			cfg := c.client
			cfg.KnownHosts = []string{}
			if !strings.HasPrefix(name, "unknown host") {
				cfg.HostKey = n.HostKey
			}
			err := ask(t, n, cfg)
			auth, ok := errors.AsType[*sshdial.AuthError](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if got := strings.ReplaceAll(auth.Error(), n.Addr(), "ADDRESS"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// sshd ends a login after six failures; with many keys in an agent the right
// one is never shown.
func TestTooManyKeys(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	var keys strings.Builder
	for range 8 {
		k, _ := meshtest.NewKey(t)
		keys.WriteString(k)
	}
	cfg := f.ClientConfig().SSH
	cfg.PrivateKey = keys.String()
	err := ask(t, n, cfg)
	if _, ok := errors.AsType[*sshdial.AuthError](err); !ok {
		t.Fatalf("got %v", err)
	}
	wantText(t, err, "too many authentication failures", "name the right one", "publickey SHA256:")
}

// A refused login is not repeated: fail2ban counts.
func TestRefusedLoginIsNotRetried(t *testing.T) {
	t.Parallel()
	f, n := installed(t)
	logins := 0
	n.SetLogin(meshtest.Login{NoKeys: true, Password: "right", Tried: func() { logins++ }})
	cfg := f.ClientConfig().SSH
	cfg.Password, cfg.HostKey = "wrong", n.HostKey
	if _, ok := errors.AsType[*sshdial.AuthError](ask(t, n, cfg)); !ok || logins != 1 {
		t.Errorf("%d logins", logins)
	}
}
