package meshtest

import (
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
)

// gauge counts what is under way and keeps the highest count.
type gauge struct {
	mu            sync.Mutex
	now, max, all int
}

func (g *gauge) add(by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += by
	g.all += max(by, 0)
	g.max = max(g.max, g.now)
}

// count is how many there have been; forget begins again.
func (g *gauge) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all
}

func (g *gauge) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = 0
}

func (g *gauge) highest() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.max
}

// Fault is what befalls a host at a call of its agent, or at a command.
type Fault int

const (
	// CutBefore breaks every connection before the host has seen the call,
	// CutAfter when it has carried it out and not answered.
	CutBefore Fault = iota
	CutAfter
	// KillBefore kills the agent before it has seen the call; it is started again
	// at once, as systemd does. KillAfter does when it has not answered yet, and
	// KillHalfway between a commit's write of the record and its apply. To a
	// command they do nothing.
	KillBefore
	KillAfter
	KillHalfway
	// Stop kills the agent before it has seen the call, until SetRunning(true).
	Stop
	// DownBefore takes the host off the network before it has seen the call,
	// DownAfter when it has carried it out, until SetDown(false).
	DownBefore
	DownAfter
	// FullDisk lets no record and no agent be written from the call on, until
	// SetDiskFull(false).
	FullDisk
)

// String names the fault in the output of a test.
func (f Fault) String() string {
	return [...]string{"cut before", "cut after", "agent killed before", "agent killed after", "agent killed halfway", "agent stopped",
		"down before", "down after", "disk full"}[f]
}

// mishap is a fault that waits for its call.
type mishap struct {
	call  string
	nth   int // 1 is the next one
	fault Fault
}

// hold stops calls of a path until it is released.
type hold struct {
	path     string
	arrived  chan struct{} // one value per call that waits
	released chan struct{}
}

// FaultAt lets the fault happen at the nth next call (1 is the next one) of a
// path of the API, or of a command: "uname", "install", "uninstall".
func (n *Node) FaultAt(call string, nth int, fault Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mishaps = append(n.mishaps, mishap{call, nth, fault})
}

// CutNext is FaultAt of the next call with CutBefore or CutAfter.
func (n *Node) CutNext(path string, after bool) {
	if after {
		n.FaultAt(path, 1, CutAfter)
	} else {
		n.FaultAt(path, 1, CutBefore)
	}
}

// Hold stops calls of path before the agent sees them. arrived receives once
// per call that waits; release lets them and all later ones go on.
func (n *Node) Hold(path string) (arrived <-chan struct{}, release func()) {
	h := &hold{path, make(chan struct{}, 1000), make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.holds = append(n.holds, h)
	return h.arrived, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if i := slices.Index(n.holds, h); i >= 0 {
			n.holds = slices.Delete(n.holds, i, i+1)
			close(h.released)
		}
	}
}

// arrive logs a call and returns what is to befall it; false when nothing is.
// What comes before the call has happened by then.
func (n *Node) arrive(call string) (Fault, bool) {
	n.mu.Lock()
	n.calls = append(n.calls, call)
	fault, hit := n.takeMishap(call)
	var held *hold
	for _, h := range n.holds {
		if h.path == call {
			held = h
		}
	}
	n.mu.Unlock()
	if held != nil {
		held.arrived <- struct{}{}
		<-held.released
	}
	if hit {
		n.befall(fault, CutBefore, KillBefore, Stop, DownBefore, FullDisk)
	}
	return fault, hit
}

// befall carries the fault out if it is one of those whose time has come.
func (n *Node) befall(fault Fault, due ...Fault) {
	if !slices.Contains(due, fault) {
		return
	}
	switch fault {
	case CutBefore, CutAfter:
		n.Cut()
	case KillBefore, KillAfter, KillHalfway:
		n.Kill()
	case Stop:
		n.SetRunning(false)
	case DownBefore, DownAfter:
		n.SetDown(true)
	case FullDisk:
		n.SetDiskFull(true)
	}
}

// takeMishap counts the call, and returns the fault whose turn it is.
func (n *Node) takeMishap(call string) (Fault, bool) {
	for i := range n.mishaps {
		if m := &n.mishaps[i]; m.call == call {
			if m.nth--; m.nth == 0 {
				fault := m.fault
				n.mishaps = slices.Delete(n.mishaps, i, i+1)
				return fault, true
			}
		}
	}
	return 0, false
}

// Calls lists the API's paths and the commands that were called, oldest first.
func (n *Node) Calls() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

// Kill ends the agent and starts it again, as systemd does after a SIGKILL: what
// was prepared is forgotten, calls in flight break off, SSH connections stay,
// and the record on disk is applied.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endSessions()
	if n.agent != nil {
		n.agent.lease = lease{}
		n.agent.apply()
	}
}

// SetDiskFull lets no record and no agent be written on the host.
func (n *Node) SetDiskFull(full bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.diskFull = full
}

// Heal ends every fault, also those that still wait for their call, starts the
// agent anew, and lets so much time pass that no lease is held any more.
func (n *Node) Heal() {
	n.mu.Lock()
	n.mishaps, n.down, n.diskFull = nil, false, false
	n.mu.Unlock()
	n.SetRunning(true)
}

// Rebuild is the host set up from scratch: another host key, no agent.
func (n *Node) Rebuild() {
	n.fleet.t.Helper()
	_, key := NewKey(n.fleet.t)
	n.SetHostKeys(key)
	n.mu.Lock()
	n.agent, n.files, n.stopped, n.broken = nil, nil, false, nil
	n.mu.Unlock()
	n.Cut()
}

// endSessions ends the channels that lead to the agent. n.mu is held, so that who sees
// the end finds what the agent is after it.
func (n *Node) endSessions() {
	for ch := range n.dialled {
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{})) // the other end may be gone
		ch.Close()
	}
}
