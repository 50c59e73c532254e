package meshtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"golang.org/x/crypto/ssh"
)

const agentPath = "/usr/local/bin/routingmesh-agent"

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
	sudoRefused := n.login.SudoRefused
	installed, stopped := n.agent != nil, n.stopped
	n.mu.Unlock()
	say := func(format string, args ...any) { fmt.Fprintf(ch.Stderr(), format+"\n", args...) }
	if command == "uname -sm" {
		fmt.Fprintln(ch, "Linux x86_64")
		return 0
	}
	command, sudo := strings.CutPrefix(command, "sudo -n ")
	if sudo && sudoRefused != "" {
		say("%s", sudoRefused)
		return 1
	}
	switch {
	case user != "root" && !sudo:
		say("%s: permission denied", user)
		return 1
	case strings.Contains(command, `routingmesh-agent" install`):
		return n.install(ch)
	case !installed && sudo:
		say("sudo: %s: command not found", agentPath)
		return 1
	case !installed:
		say("sh: 1: %s: not found", agentPath)
		return 127
	case command == agentPath+" uninstall":
		n.SetInstalled(false)
		return 0
	case command == agentPath+" dial-stdio" && stopped:
		say("routingmesh-agent: no agent answers on /run/routingmesh/agent.sock")
		return 3
	case command == agentPath+" dial-stdio":
		n.dialStdio(ch)
		return 0
	}
	say("meshtest does not know %q", command)
	return 126
}

func (n *Node) install(ch ssh.Channel) (code uint32) {
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
	fresh := newAgent(n, digest(program))
	if old := n.agent; old != nil {
		fresh.record, fresh.node, fresh.applied = old.record, old.node, old.applied
	}
	n.agent, n.stopped = fresh, false
	return 0
}

// dialStdio speaks HTTP over the channel until either side ends it.
func (n *Node) dialStdio(ch ssh.Channel) {
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
		if !n.before(r) {
			n.Cut()
			return
		}
		w := httptest.NewRecorder()
		n.serve(w, r)
		if !n.after(r) {
			n.Cut()
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
