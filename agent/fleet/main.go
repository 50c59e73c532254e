// Command fleet serves many agents at once, without a kernel: the API, the lease, the checks of a record and
// the file on disk are those of the real agent. It is what `make bench` measures Terraform against; no part of
// it is in the agent that hosts get.
//
// It reads one Setup from stdin, then lines of commands, and answers each with a line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Setup is the first line of stdin.
type Setup struct {
	// Dir is where each agent has its folder and its socket, NAME.sock.
	Dir string `json:"dir"`
	// SHA256 is what the agents say that their program has.
	SHA256 string `json:"sha256"`
	// Agents are the underlay addresses by name.
	Agents map[string]netip.Addr `json:"agents"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// run serves until stdin ends. "forget NAME" makes an agent one that never had a record; "calls" answers how
// often each path was called since the last time.
func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return fmt.Errorf("no setup on stdin: %w", lines.Err())
	}
	var setup Setup
	if err := json.Unmarshal(lines.Bytes(), &setup); err != nil {
		return fmt.Errorf("the setup: %w", err)
	}
	calls := &calls{byPath: map[string]int{}}
	agents := map[string]*agent{}
	for name, address := range setup.Agents {
		a := &agent{dir: filepath.Join(setup.Dir, name), address: address, sha256: setup.SHA256, calls: calls}
		if err := a.forget(); err != nil {
			return err
		}
		listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", a.dir+".sock")
		if err != nil {
			return err
		}
		defer listener.Close()
		agents[name] = a
		go a.serve(listener)
	}
	answer := json.NewEncoder(out)
	if err := answer.Encode("ready"); err != nil {
		return err
	}
	for lines.Scan() {
		var err error
		switch command, name, _ := strings.Cut(lines.Text(), " "); {
		case command == "calls":
			err = answer.Encode(calls.take())
		case command == "forget" && agents[name] != nil:
			if err = agents[name].forget(); err == nil {
				err = answer.Encode("forgotten")
			}
		default:
			err = fmt.Errorf("no command: %q", lines.Text())
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

// calls counts the calls of every agent together.
type calls struct {
	mu     sync.Mutex
	byPath map[string]int
}

func (c *calls) add(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byPath[path]++
}

func (c *calls) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.byPath
	c.byPath = map[string]int{}
	return taken
}
