package meshtest

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// session serves the one command of an SSH session.
func (n *Node) session(user string, newChannel ssh.NewChannel) {
	ch, requests, err := newChannel.Accept()
	if err != nil {
		return
	}
	n.sessions.add(1)
	defer n.sessions.add(-1)
	defer ch.Close()
	for req := range requests {
		var command struct{ Text string }
		if req.Type != "exec" || ssh.Unmarshal(req.Payload, &command) != nil {
			_ = req.Reply(false, nil)
			continue
		}
		_ = req.Reply(true, nil)
		go ssh.DiscardRequests(requests)
		code := n.run(user, command.Text, ch)
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
		return
	}
}

// run is the host's shell: it knows the commands that meshclient sends.
func (n *Node) run(user, command string, ch ssh.Channel) (code uint32) {
	n.mu.Lock()
	n.commands = append(n.commands, command)
	login := n.login
	installed, stopped := n.agent != nil, n.stopped
	n.mu.Unlock()
	fault, hit := n.arrive(commandName(command))
	if hit && (fault == CutBefore || fault == DownBefore) {
		return 255
	}
	if hit {
		defer n.befall(fault, CutAfter, DownAfter)
	}
	say := func(format string, args ...any) { fmt.Fprintf(ch.Stderr(), format+"\n", args...) }
	if login.Prints != "" {
		fmt.Fprint(ch, login.Prints)
	}
	if login.Forced {
		return 142
	}
	both := func(mark string) { fmt.Fprintln(ch, mark); say("%s", mark) }
	sudo := strings.Contains(command, "sudo -n")
	if sudo {
		both("routingmesh-login")
	}
	if sudo && login.SudoRefused != "" {
		say("%s", login.SudoRefused)
		return 1
	}
	both("routingmesh-root")
	switch {
	case strings.Contains(command, "; uname -sm'"):
		fmt.Fprintln(ch, "Linux x86_64")
		return 0
	case user != "root" && !sudo:
		say("%s: permission denied", user)
		return 1
	case strings.Contains(command, "$a install;"):
		return n.install(ch)
	case !strings.Contains(command, "exec $a "):
		say("meshtest does not know %q", command)
		return 126
	case !installed:
		say("routingmesh-none")
		return 127
	case strings.Contains(command, "exec $a uninstall;"):
		n.SetInstalled(false)
		if n.fleet.agents != nil {
			n.fleet.agents.Forget(n.Name)
		}
		return 0
	case stopped:
		say("routingmesh-agent: no agent answers on /run/routingmesh/agent.sock")
		return 3
	case n.fleet.agents != nil:
		return n.join(ch)
	}
	n.dialStdio(ch)
	return 0
}

// commandName is what FaultAt calls a command; "" for the way to the agent, whose
// calls have names of their own.
func commandName(command string) string {
	for _, name := range []string{"uninstall", "install", "uname"} {
		if strings.Contains(command, "$a "+name+";") || strings.Contains(command, "; "+name+" ") {
			return name
		}
	}
	return ""
}

func (n *Node) install(ch ssh.Channel) (code uint32) {
	if n.fleet.agents != nil {
		_, _ = io.Copy(io.Discard, ch) // what breaks off shows in the next call
		n.SetInstalled(true)
		return 0
	}
	r, err := gzip.NewReader(ch)
	if err != nil {
		fmt.Fprintln(ch.Stderr(), "gzip:", err)
		return 1
	}
	program, err := io.ReadAll(r)
	if err != nil {
		fmt.Fprintln(ch.Stderr(), "gzip:", err)
		return 1
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endSessions()
	if n.diskFull {
		fmt.Fprintln(ch.Stderr(), "routingmesh-agent: no space left on device")
		return 1
	}
	fresh := newAgent(n, digest(program))
	if old := cmp.Or(n.agent, n.files); old != nil {
		fresh.record, fresh.node, fresh.applied, fresh.promise = old.record, old.node, old.applied, old.promise
	}
	n.agent, n.files, n.stopped = fresh, nil, false
	return 0
}

// Agents stand behind the hosts in place of meshtest's own: no fault befalls
// them, and what they are asked is theirs to count.
type Agents interface {
	// Dial connects to the agent of the named host.
	Dial(name string) (net.Conn, error)
	// Forget makes the agent one that has just been installed.
	Forget(name string)
}

// join is the real agent's dial-stdio.
func (n *Node) join(ch ssh.Channel) (code uint32) {
	conn, err := n.fleet.agents.Dial(n.Name)
	if err != nil {
		fmt.Fprintln(ch.Stderr(), err)
		return 3
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, ch) // either side may end it
		conn.Close()
	}()
	_, _ = io.Copy(ch, conn)
	return 0
}

// dialStdio speaks HTTP over the channel until either side ends it.
func (n *Node) dialStdio(ch ssh.Channel) {
	n.mu.Lock()
	n.dialled[ch] = true
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.dialled, ch)
	}()
	in := bufio.NewReader(ch)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r := Request{Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery, Node: n.Name, Body: body}
		w := n.call(r)
		if w == nil {
			return
		}
		resp := w.Result()
		resp.ContentLength = int64(w.Body.Len())
		var out bytes.Buffer
		if resp.Write(&out) != nil {
			return
		}
		if _, err := ch.Write(out.Bytes()); err != nil {
			return
		}
	}
}

// call is one call of the API with what befalls it; nil when no answer is sent.
func (n *Node) call(r Request) *httptest.ResponseRecorder {
	n.mu.Lock()
	n.requests = append(n.requests, r)
	n.mu.Unlock()
	fault, hit := n.arrive(r.Path)
	if hit && slices.Contains([]Fault{CutBefore, KillBefore, Stop, DownBefore}, fault) {
		return nil
	}
	w := httptest.NewRecorder()
	if !n.serve(w, r, hit && fault == KillHalfway) {
		return nil
	}
	if hit && fault != FullDisk {
		n.befall(fault, CutAfter, KillAfter, KillHalfway, DownAfter)
		return nil
	}
	return w
}
