package meshtest

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Node is one host.
type Node struct {
	Name string
	// HostKey is the server's key in authorized_keys form.
	HostKey string
	// Address is the underlay address.
	Address netip.Addr

	fleet    *Fleet
	listener net.Listener

	mu          sync.Mutex
	hostKeys    []ssh.Signer
	tcp         map[net.Conn]bool
	down        bool
	connections int
	logins      int // under way
	turnedAway  int
	sessions    gauge
	requests    []Request
	commands    []string
	login       Login
	agent       *agent // nil: not installed
	files       *agent // what an agent whose program was removed has left, for the next one
	stopped     bool   // installed and not running
	prepared    func(*mesh.Record) []mesh.Problem
	committed   func(*mesh.Record) []mesh.Problem
	broken      []mesh.Problem // what something else has changed in the kernel
	probed      func(r *mesh.Record, peers []string) (*mesh.ProbeResponse, error)
	counters    mesh.Counters
	repairs     uint64
	unhealthy   []mesh.EndpointHealth
	warnings    []mesh.Warning
	warned      []mesh.Warning // instead of warnings, from the next commit on
	drains      mesh.Drains
	drainLooks  int // after which drains is over, 0 for never
	calls       []string
	mishaps     []mishap
	holds       []*hold
	dialled     map[ssh.Channel]bool // that lead to the agent
	diskFull    bool
	unchanging  bool // the agent knows no changes, only whole records
	forwards    int
}

// Request is one call of the agent's API.
type Request struct {
	Method, Path, Query string
	Node                string // the host that was called
	Body                []byte
}

// Login is what the host's SSH server accepts besides the fleet's key.
type Login struct {
	Password    string // "" takes none
	Interactive bool   // the password is asked for by keyboard-interactive
	NoKeys      bool   // public keys are not accepted
	// SudoRefused is what sudo -n says when it fails, "" when it works.
	SudoRefused string
	// Prints is what the login prints before the command runs; Forced prints it
	// in place of the command, as a forced command does.
	Prints string
	Forced bool
	// MaxSessions and MaxStartups are sshd's, 0 for its defaults.
	MaxSessions, MaxStartups int
	// Tried is called for every password that is shown, nil for nothing.
	Tried func()
	// Authority signs user certificates that are accepted, nil for none.
	Authority ssh.PublicKey
}

// Addr is the SSH address, "127.0.0.1:port".
func (n *Node) Addr() string { return n.listener.Addr().String() }

// Port is the SSH port on 127.0.0.1.
func (n *Node) Port() uint16 { return netip.MustParseAddrPort(n.Addr()).Port() }

// MeshNode describes the host as a node: its underlay address, and where SSH
// answers.
func (n *Node) MeshNode() mesh.Node {
	return mesh.Node{Name: n.Name, Address: n.Address, SSH: mesh.SSH{Host: "127.0.0.1", Port: n.Port()}}
}

// Requests lists the calls so far, oldest first.
func (n *Node) Requests() []Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.requests)
}

// Count is how often a path was called.
func (n *Node) Count(path string) int {
	count := 0
	for _, r := range n.Requests() {
		if r.Path == path {
			count++
		}
	}
	return count
}

// Commands lists the commands that were run, oldest first.
func (n *Node) Commands() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.commands)
}

// CountCommands is how many commands contained the text.
func (n *Node) CountCommands(text string) int {
	count := 0
	for _, c := range n.Commands() {
		if strings.Contains(c, text) {
			count++
		}
	}
	return count
}

// Connections counts the SSH connections that logged in.
func (n *Node) Connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.connections
}

// TurnedAway counts the connections and sessions that were refused: see
// maxStartups and maxSessions.
func (n *Node) TurnedAway() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.turnedAway
}

// MaxSessions is the most SSH sessions that were open at the same time.
func (n *Node) MaxSessions() int { return n.sessions.highest() }

// Forwards counts the connections made through this host.
func (n *Node) Forwards() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.forwards
}

// SetDown cuts every connection and refuses new ones; false brings it back.
func (n *Node) SetDown(down bool) {
	n.mu.Lock()
	n.down = down
	n.mu.Unlock()
	if down {
		n.Cut()
	}
}

// Cut ends every connection; new ones are accepted.
func (n *Node) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for conn := range n.tcp {
		conn.Close()
	}
}

// SetInstalled puts an agent on the host, or takes it away with its record. Calls in
// flight break off then, as when the real one is uninstalled; SSH connections stay.
func (n *Node) SetInstalled(installed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !installed:
		n.agent, n.files = nil, nil
		n.endSessions()
	case n.agent == nil:
		_, sum, _ := AgentBinary("this version")("amd64")
		n.agent = newAgent(n, sum)
	}
}

// RemoveProgram takes the agent away and leaves its files: the next one has its record.
func (n *Node) RemoveProgram() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files, n.agent = n.agent, nil
	n.endSessions()
}

// SetAgentVersion makes an installed agent one of another checksum and API.
func (n *Node) SetAgentVersion(version string, api int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, n.agent.sha256, _ = AgentBinary(version)("amd64")
	n.agent.version, n.agent.api = version, api
}

// Installed says whether there is an agent.
func (n *Node) Installed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.agent != nil
}

// SetRunning stops the agent that is installed, or starts it. Calls in flight
// break off; SSH connections stay.
func (n *Node) SetRunning(running bool) {
	n.mu.Lock()
	n.stopped = !running
	n.mu.Unlock()
	n.Kill()
}

// SetLogin changes what the SSH server accepts from now on.
func (n *Node) SetLogin(l Login) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.login = l
}

// SetHostKeys gives the server other host keys, as a reinstalled host has;
// HostKey becomes the first.
func (n *Node) SetHostKeys(keys ...ssh.Signer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hostKeys = keys
	n.HostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(keys[0].PublicKey())))
}

// SetChangesKnown says whether the agent takes a change in place of a record.
// One that does not refuses it as a request that it does not understand.
func (n *Node) SetChangesKnown(known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unchanging = !known
}

// Record is the host's record, nil without one; read only.
func (n *Node) Record() *mesh.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.agent == nil {
		return nil
	}
	return n.agent.record
}

// SetRecord puts a record on the host as the named node ("" for none), past
// every rule: a fork, or a host of another cluster.
func (n *Node) SetRecord(r *mesh.Record, node string) {
	n.SetInstalled(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.agent.record, n.agent.node, n.agent.applied = r, node, r.Generation
}
