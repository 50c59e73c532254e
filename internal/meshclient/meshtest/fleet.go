// Package meshtest serves hosts to test against: real SSH handshakes on
// 127.0.0.1, and behind them a small agent that keeps the record in memory and
// every rule of the commit protocol. It logs all calls, so that a test can say
// which were made and which were not: what a real host cannot tell.
package meshtest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/netip"

	"golang.org/x/crypto/ssh"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// TB is what hosts need of a testing.TB; a program that is no test has its own.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(f func())
	Context() context.Context
}

// Fleet is a set of hosts.
type Fleet struct {
	// PrivateKey logs in to every host, as PEM.
	PrivateKey string

	t         TB
	agents    Agents
	publicKey ssh.PublicKey
	names     []string
	logins    gauge // under way at the same time
	nodes     map[string]*Node
}

// New starts one bare host per name: SSH answers, no agent is installed. They
// stop with the test.
func New(t TB, names ...string) *Fleet { return NewWith(t, nil, names...) }

// NewWith is New with other agents than meshtest's own.
func NewWith(t TB, agents Agents, names ...string) *Fleet {
	t.Helper()
	private, signer := NewKey(t)
	f := &Fleet{PrivateKey: private, t: t, agents: agents, publicKey: signer.PublicKey(), nodes: map[string]*Node{}}
	t.Cleanup(f.Stop)
	for _, name := range names {
		f.Add(name)
	}
	return f
}

// Stop ends every host, as the end of the test does.
func (f *Fleet) Stop() {
	for _, n := range f.nodes {
		n.stop()
	}
}

// Add starts one more host. Its underlay address is 192.0.2.11 for the first,
// .12 for the second, and so on, on a link with MTU 1500.
func (f *Fleet) Add(name string) *Node {
	f.t.Helper()
	n := newNode(f, name, netip.AddrFrom4([4]byte{192, 0, 2, byte(11 + len(f.names))}))
	f.names = append(f.names, name)
	f.nodes[name] = n
	return n
}

// Node returns the host of that name, nil for none.
func (f *Fleet) Node(name string) *Node { return f.nodes[name] }

// All returns the hosts in the order they were named.
func (f *Fleet) All() []*Node {
	all := make([]*Node, 0, len(f.names))
	for _, name := range f.names {
		all = append(all, f.nodes[name])
	}
	return all
}

// Hosts returns the SSH addresses of the named hosts, of all without names.
func (f *Fleet) Hosts(names ...string) []string {
	if len(names) == 0 {
		names = f.names
	}
	hosts := make([]string, 0, len(names))
	for _, name := range names {
		hosts = append(hosts, f.nodes[name].Addr())
	}
	return hosts
}

// ClientConfig returns a configuration that logs in to the named hosts (all
// without names), as root and with the fleet's key, and takes nothing from the
// surroundings. Its agent is the one that the hosts have after SetInstalled.
func (f *Fleet) ClientConfig(names ...string) meshclient.Config {
	no := false
	return meshclient.Config{
		Hosts:       f.Hosts(names...),
		SSH:         sshdial.Config{PrivateKey: f.PrivateKey, Agent: &no, KnownHosts: []string{}},
		AgentBinary: AgentBinary("this version"),
	}
}

// TotalRequests counts the calls of a path on all hosts.
func (f *Fleet) TotalRequests(path string) int {
	total := 0
	for _, n := range f.nodes {
		total += n.Count(path)
	}
	return total
}

// TotalConnections counts the SSH connections that logged in to any host.
func (f *Fleet) TotalConnections() int {
	total := 0
	for _, n := range f.nodes {
		total += n.Connections()
	}
	return total
}

// MaxLogins is the most SSH logins that were under way at the same time, over
// all hosts.
func (f *Fleet) MaxLogins() int { return f.logins.highest() }

// TotalSessions counts the SSH sessions that were opened on all hosts.
func (f *Fleet) TotalSessions() int {
	total := 0
	for _, n := range f.nodes {
		total += n.sessions.count()
	}
	return total
}

// TotalCommands counts the commands that were run on all hosts.
func (f *Fleet) TotalCommands() int {
	total := 0
	for _, n := range f.nodes {
		total += len(n.Commands())
	}
	return total
}

// TotalTurnedAway counts what the SSH servers did not take, by sshd's defaults.
func (f *Fleet) TotalTurnedAway() int {
	total := 0
	for _, n := range f.nodes {
		total += n.TurnedAway()
	}
	return total
}

// ResetRequests forgets the calls, commands and connections so far.
func (f *Fleet) ResetRequests() {
	for _, n := range f.nodes {
		n.mu.Lock()
		n.requests, n.calls, n.commands, n.connections, n.turnedAway = nil, nil, nil, 0, 0
		n.mu.Unlock()
		n.sessions.forget()
	}
}

// AgentBinary stands for an agent that can be uploaded; another version has
// another checksum.
func AgentBinary(version string) func(arch string) (gz []byte, sha256hex string, err error) {
	return func(arch string) ([]byte, string, error) {
		program := []byte(version + " for " + arch)
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(program) // a bytes.Buffer takes everything
		_ = w.Close()
		return b.Bytes(), digest(program), nil
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// NewKey makes an ed25519 key.
func NewKey(t TB) (private string, signer ssh.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "meshtest")
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(key); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer
}

// NewECDSAKey makes a key of another type than NewKey's.
func NewECDSAKey(t TB) ssh.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
