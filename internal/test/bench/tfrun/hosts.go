package tfrun

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// Hosts are SSH servers in this process, and the agents behind them in another.
type Hosts struct {
	*meshtest.Fleet
	dir      string
	agents   *exec.Cmd
	commands io.WriteCloser
	answers  *bufio.Scanner
	cleanups []func()
	mu       sync.Mutex // one command at a time
}

// Hosts starts that many, n1 to nN, bare: without an agent, as Terraform finds them.
func (b *Bench) Hosts(ctx context.Context, count int) (h *Hosts, err error) {
	h = &Hosts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.dir, err = os.MkdirTemp(b.dir, "hosts-"); err != nil {
		return h, err
	}
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("n%d", i+1)
	}
	h.Fleet = meshtest.NewWith(life{ctx, h}, h, names...) //nolint:contextcheck // ctx is in life
	addresses := map[string]string{}
	for _, n := range h.All() {
		addresses[n.Name] = n.Address.String()
	}
	return h, h.start(ctx, b, addresses)
}

func (h *Hosts) start(ctx context.Context, b *Bench, addresses map[string]string) (err error) {
	h.agents = exec.CommandContext(ctx, filepath.Join(b.dir, "fleet"))
	h.agents.Stderr = os.Stderr
	if h.commands, err = h.agents.StdinPipe(); err != nil {
		return err
	}
	out, err := h.agents.StdoutPipe()
	if err != nil {
		return err
	}
	h.answers = bufio.NewScanner(out)
	if err = h.agents.Start(); err != nil {
		return err
	}
	setup, err := json.Marshal(map[string]any{"dir": h.dir, "sha256": b.sha256, "agents": addresses})
	if err != nil {
		return err
	}
	return h.ask(string(setup), nil)
}

// ask sends the agents a line, and reads theirs.
func (h *Hosts) ask(line string, answer any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := io.WriteString(h.commands, line+"\n"); err != nil {
		return err
	}
	if !h.answers.Scan() {
		return errors.Join(errors.New("the agents have ended"), h.answers.Err())
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(h.answers.Bytes(), answer)
}

// Close ends the hosts and their agents.
func (h *Hosts) Close() (err error) {
	for _, f := range slices.Backward(h.cleanups) {
		f()
	}
	if h.agents != nil && h.agents.Process != nil {
		err = errors.Join(h.commands.Close(), h.agents.Wait())
	}
	return err
}

// Dial implements meshtest.Agents.
func (h *Hosts) Dial(name string) (net.Conn, error) {
	return net.Dial("unix", filepath.Join(h.dir, name+".sock")) //nolint:noctx // a socket on this machine answers at once
}

// Forget implements meshtest.Agents. Without agents there is nothing to measure, which the next call says.
func (h *Hosts) Forget(name string) { _ = h.ask("forget "+name, nil) }

// Calls are what a run has cost on the side of the hosts.
type Calls struct {
	// ByPath counts calls of the agents' API.
	ByPath map[string]int
	// Connections, Sessions and Commands are SSH's; TurnedAway is what its limits did not let in.
	Connections, Sessions, Commands, TurnedAway int
}

// Calls counts since the last time.
func (h *Hosts) Calls() (Calls, error) {
	c := Calls{Connections: h.TotalConnections(), Sessions: h.TotalSessions(), Commands: h.TotalCommands(), TurnedAway: h.TotalTurnedAway()}
	h.ResetRequests()
	return c, h.ask("calls", &c.ByPath)
}

// life is what meshtest needs of a test.
type life struct {
	ctx   context.Context
	hosts *Hosts
}

func (l life) Context() context.Context { return l.ctx }
func (life) Helper()                    {}
func (l life) Cleanup(f func())         { l.hosts.cleanups = append(l.hosts.cleanups, f) }

// Fatal is for a machine without free ports on 127.0.0.1, or without randomness.
func (life) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
