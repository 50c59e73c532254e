package meshtest

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// sshd's defaults. From MaxStartups 10:30:100 the first: with as many logins under
// way sshd turns away the next at random, and a host of these always does.
const (
	maxStartups = 10
	maxSessions = 10 // per connection
)

func newNode(f *Fleet, name string, address netip.Addr) *Node {
	f.t.Helper()
	listener, err := new(net.ListenConfig).Listen(f.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	n := &Node{Name: name, Address: address, fleet: f, listener: listener, tcp: map[net.Conn]bool{}, dialled: map[ssh.Channel]bool{}}
	_, key := NewKey(f.t)
	n.SetHostKeys(key)
	go n.accept()
	return n
}

// stop ends the host for good.
func (n *Node) stop() {
	n.listener.Close()
	n.SetDown(true)
	n.releaseAll()
}

func (n *Node) releaseAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.holds {
		close(h.released)
	}
	n.holds = nil
}

func (n *Node) accept() {
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			return
		}
		go n.handle(conn)
	}
}

func (n *Node) handle(tcp net.Conn) {
	defer tcp.Close()
	n.mu.Lock()
	tooMany := n.logins >= cmp.Or(n.login.MaxStartups, maxStartups)
	if tooMany {
		n.turnedAway++
	}
	if n.down || tooMany {
		n.mu.Unlock()
		return
	}
	n.logins++
	n.tcp[tcp] = true
	cfg := n.serverConfig()
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.tcp, tcp)
	}()
	n.fleet.logins.add(1)
	conn, channels, requests, err := ssh.NewServerConn(tcp, cfg)
	n.fleet.logins.add(-1)
	n.mu.Lock()
	n.logins--
	if err == nil {
		n.connections++
	}
	n.mu.Unlock()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	n.mu.Lock()
	limit := int32(cmp.Or(n.login.MaxSessions, maxSessions)) // a test's small number
	n.mu.Unlock()
	var sessions atomic.Int32
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			if sessions.Add(1) > limit {
				sessions.Add(-1)
				n.mu.Lock()
				n.turnedAway++
				n.mu.Unlock()
				_ = ch.Reject(ssh.ResourceShortage, "open failed")
				continue
			}
			go func() {
				defer sessions.Add(-1)
				n.session(conn.User(), ch)
			}()
		case "direct-tcpip":
			go n.forward(ch)
		default:
			_ = ch.Reject(ssh.UnknownChannelType, "no such channel")
		}
	}
}

var errNo = errors.New("no")

// serverConfig is made per connection, so that tests may change the rules.
// Called with mu held.
func (n *Node) serverConfig() *ssh.ServerConfig {
	login := n.login
	cfg := &ssh.ServerConfig{}
	if !login.NoKeys {
		checker := &ssh.CertChecker{
			IsUserAuthority: func(k ssh.PublicKey) bool { return login.Authority != nil && same(k, login.Authority) },
			UserKeyFallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
				if login.Authority == nil && same(k, n.fleet.publicKey) {
					return nil, nil
				}
				return nil, errNo
			},
		}
		cfg.PublicKeyCallback = checker.Authenticate
	}
	check := func(password string) error {
		if login.Tried != nil {
			login.Tried()
		}
		if password != login.Password {
			return errNo
		}
		return nil
	}
	switch {
	case login.Password == "":
	case login.Interactive:
		cfg.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(answers) != 1 {
				return nil, errNo
			}
			return nil, check(answers[0])
		}
	default:
		cfg.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return nil, check(string(password))
		}
	}
	for _, key := range n.hostKeys {
		cfg.AddHostKey(key)
	}
	return cfg
}

func same(a, b ssh.PublicKey) bool { return string(a.Marshal()) == string(b.Marshal()) }

// forward is what a bastion does.
func (n *Node) forward(ch ssh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(ch.ExtraData(), &target); err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	out, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP(target.Host), Port: int(target.Port)})
	if err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, strings.TrimPrefix(err.Error(), "dial "))
		return
	}
	defer out.Close()
	in, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer in.Close()
	n.mu.Lock()
	n.forwards++
	n.mu.Unlock()
	go ssh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(out, in)
		out.Close()
	}()
	_, _ = io.Copy(in, out)
}
