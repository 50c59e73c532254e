// Package rig is what the demo and the bench stand on: the hosts of the running lab, and Terraform in a folder of its own.
package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Lab is the lab of this checkout, through its contract: ssh_config, lab.auto.tfvars.json, terraformrc.
type Lab struct {
	Root string // the checkout
	Dir  string // .lab
	Log  io.Writer
	// Logins is a folder for the sockets of logins that are shared, as a login is what takes the time in an emulated lab; "" for a
	// login per command. Forget a host before it goes down.
	Logins string
}

// Node is a host of the lab that becomes a node of the mesh.
type Node struct {
	Name    string
	Address string
}

// Open finds the checkout above the working directory. Everything that runs is written to log.
func Open(log io.Writer) (*Lab, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for root := wd; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "examples", "quickstart")); err == nil {
			return &Lab{Root: root, Dir: labDir(root), Log: log}, nil
		}
		if root == filepath.Dir(root) {
			return nil, errors.New("run it inside the checkout of terraform-provider-routingmesh")
		}
	}
}

func labDir(root string) string {
	dir := os.Getenv("LAB_DIR")
	if dir == "" {
		dir = ".lab"
	}
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(root, dir)
}

// Runs says whether the lab is up.
func (l *Lab) Runs(ctx context.Context) bool {
	return l.command(ctx, filepath.Join(l.Root, "bin", "lab"), "status").Run() == nil
}

// Counts says that the lab's clock counts the instructions that it executes (LAB_ICOUNT=1).
func (l *Lab) Counts() (bool, error) {
	b, err := os.ReadFile(filepath.Join(l.Dir, "state.json"))
	if err != nil {
		return false, err
	}
	var state struct{ Accel string }
	err = json.Unmarshal(b, &state)
	return state.Accel == "icount", err
}

// Build is make build.
func (l *Lab) Build(ctx context.Context, show func(line string)) error {
	command := os.Getenv("MAKE")
	if command == "" {
		command = "make"
	}
	return l.Run(ctx, show, command, "--no-print-directory", "build")
}

// Up starts the lab; one that runs is left alone.
func (l *Lab) Up(ctx context.Context, show func(line string)) error {
	return l.Run(ctx, show, filepath.Join(l.Root, "bin", "lab"), "up")
}

// Down ends the lab.
func (l *Lab) Down(ctx context.Context, show func(line string)) error {
	return l.Run(ctx, show, filepath.Join(l.Root, "bin", "lab"), "down")
}

// Node does to a node what hands do: node-off (a power cut), node-on, wire-down, wire-up.
func (l *Lab) Node(ctx context.Context, what, node string) error {
	return l.Run(ctx, func(string) {}, filepath.Join(l.Root, "bin", "lab"), what, node)
}

// Take keeps other tests out of the lab until release.
func (l *Lab) Take() (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(l.Dir, "use.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("there is no lab: run make lab-up (%w)", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

// Nodes are the lab's, by name.
func (l *Lab) Nodes() ([]Node, error) {
	b, err := os.ReadFile(filepath.Join(l.Dir, "lab.auto.tfvars.json"))
	if err != nil {
		return nil, err
	}
	var vars struct {
		Nodes map[string]struct {
			Address string `json:"address"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(b, &vars); err != nil {
		return nil, fmt.Errorf("lab.auto.tfvars.json: %w", err)
	}
	var nodes []Node
	for name, n := range vars.Nodes {
		nodes = append(nodes, Node{name, n.Address})
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes, nil
}

// Run runs a command in the checkout, each line of its output to show.
func (l *Lab) Run(ctx context.Context, show func(line string), name string, args ...string) error {
	fmt.Fprintf(l.Log, "\n$ %s %s\n", name, strings.Join(args, " "))
	cmd := l.command(ctx, name, args...)
	w := &lineWriter{show: show}
	out := io.MultiWriter(l.Log, w)
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	w.flush()
	if err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return nil
}

// Command is a command on a host of the lab, to be started. It ends with ctx.
func (l *Lab) Command(ctx context.Context, host, command string) *exec.Cmd {
	return l.command(ctx, "ssh", append(l.login(), host, command)...)
}

func (l *Lab) login() []string {
	args := []string{"-F", filepath.Join(l.Dir, "ssh_config")}
	if l.Logins != "" {
		args = append(args, "-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", "ControlPath="+filepath.Join(l.Logins, "%n"))
	}
	return args
}

// Forget ends the shared logins of hosts, where there are any.
func (l *Lab) Forget(ctx context.Context, hosts ...string) {
	for _, h := range hosts {
		if _, err := os.Stat(filepath.Join(l.Logins, h)); l.Logins != "" && err == nil {
			_ = l.command(ctx, "ssh", append(l.login(), "-O", "exit", h)...).Run() // it may have ended by itself
		}
	}
}

// SSH runs a script on a host of the lab and returns what it prints.
func (l *Lab) SSH(ctx context.Context, host, script string) (string, error) {
	cmd := l.Command(ctx, host, "bash -s")
	cmd.Stdin = strings.NewReader(script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	fmt.Fprintf(l.Log, "\n$ ssh %s <<'EOF'\n%s\nEOF\n%s%s", host, strings.TrimSpace(script), clip(out.String()), errs.String())
	if err != nil {
		return out.String(), fmt.Errorf("on %s: %w: %s", host, err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// Unchecked runs a command on a host of the lab whose host keys may be any, and waits until it lets us in.
func (l *Lab) Unchecked(ctx context.Context, host, command string) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := l.command(ctx, "ssh", "-F", filepath.Join(l.Dir, "ssh_config"), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", host, command).CombinedOutput()
		var exit *exec.ExitError
		if err == nil || errors.As(err, &exit) && exit.ExitCode() != 255 || ctx.Err() != nil { // 255: ssh's own failure
			fmt.Fprintf(l.Log, "\n$ ssh %s %s\n%s", host, command, out)
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// OnAll runs the script on the hosts at once; the outputs are in their order.
func (l *Lab) OnAll(ctx context.Context, hosts []string, script string) ([]string, error) {
	outs, errs := make([]string, len(hosts)), make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, host := range hosts {
		wg.Go(func() { outs[i], errs[i] = l.SSH(ctx, host, script) })
	}
	wg.Wait()
	return outs, errors.Join(errs...)
}

// command ends politely on cancel: Terraform then still writes its state.
func (l *Lab) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.Root
	// in a process group of its own: what the terminal's Ctrl-C sends to ours, Cancel passes on, once
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	return cmd
}

func clip(s string) string {
	const most = 20_000
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s\n… %d bytes more\n", s[:most], len(s)-most)
}

// lineWriter hands on whole lines.
type lineWriter struct {
	show func(string)
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.rest = rest
		w.show(strings.TrimRight(string(line), "\r"))
	}
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.show(string(w.rest))
		w.rest = nil
	}
}
