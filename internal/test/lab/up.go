package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func (l *Lab) up() error {
	start := time.Now()
	if l.Root == "" {
		return errNoCheckout
	}
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(l.path("lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if l.Driver, err = chooseDriver(l.Driver); err != nil {
		return err
	}
	if err := install(l.Driver); err != nil {
		return err
	}
	if err := l.image(); err != nil {
		return err
	}
	if err := l.start(); err != nil {
		return err
	}
	fmt.Printf("lab: up after %.0f s, %s\n\n%s", time.Since(start).Seconds(), l.Dir, l.howTo())
	return nil
}

// start starts what does not run: the lab, or in a running one the hosts that are switched off. It returns when all
// of them answer.
func (l *Lab) start() error {
	want := &State{Driver: l.Driver, Nodes: l.Nodes, Port: l.Port, Image: filepath.Base(l.imageDir()), Hosts: l.hostsText()}
	if l.Accel == accelCount {
		want.Accel = accelCount
	}
	have, err := l.running()
	if err != nil {
		return err
	}
	if have != nil && have.shape() == want.shape() {
		fmt.Printf("lab: runs already (%s)\n", have.shape())
		if out, err := l.nodes(have, "all-on").CombinedOutput(); err != nil {
			return fmt.Errorf("switch on the nodes that are off: %w\n%s", err, out)
		}
		return l.await(have, nil)
	}
	if have != nil {
		fmt.Printf("lab: the running lab has another shape (%s); restarting it as: %s\n", have.shape(), want.shape())
		if err := l.stop(have); err != nil {
			return err
		}
	}
	if err := l.portsFree(); err != nil {
		return err
	}
	if err := step("keys and configuration", l.configure); err != nil {
		return err
	}
	if l.Driver == "vm" {
		return l.bootVM(want)
	}
	return l.boot(want)
}

// boot starts the driver and returns when every host answers.
func (l *Lab) boot(s *State) error {
	what := "start the " + l.Driver + " driver"
	if s.Accel != "" {
		what += " (" + s.Accel + ")"
	}
	qemu := []string{qemuProgram}
	if s.Driver == "vm" && emulated(s.Accel) {
		qemu = l.emulator()
	}
	var exited <-chan error
	err := step(what, func() (err error) {
		if l.Driver == "native" {
			s.PIDs, err = l.startNative()
		} else {
			s.PIDs = []int{0}
			s.PIDs[0], exited, err = l.startVM(qemu, s.Accel)
		}
		if err != nil {
			return err
		}
		return l.save(s)
	})
	if err != nil {
		return err
	}
	return l.await(s, exited)
}

// nodes is a command of scripts/nodes.sh, run where the nodes are.
func (l *Lab) nodes(s *State, args ...string) *exec.Cmd {
	if s.Driver == "native" {
		return exec.Command("nsenter", append([]string{"-t", fmt.Sprint(s.PIDs[0]), "-m", "-n", l.path("vm", "nodes.sh")}, args...)...)
	}
	return l.ssh(l.machine().Name, append([]string{"/lab/share/nodes.sh"}, args...)...)
}

func (l *Lab) ssh(host string, args ...string) *exec.Cmd {
	return exec.Command("ssh", append([]string{"-F", l.path("ssh_config"), host}, args...)...)
}

func (l *Lab) control(command string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s NODE", command)
	}
	s, err := l.adopt()
	if err != nil {
		return err
	}
	h, err := l.host(args[0])
	if err != nil {
		return err
	}
	out, err := l.nodes(s, strings.TrimPrefix(command, "node-"), h.Name).CombinedOutput()
	os.Stdout.Write(out)
	return err
}

// errNone is what status ends with where no lab runs, for scripts: exit code 3, as of systemctl status.
var errNone = errors.New("none runs")

func (l *Lab) status() error {
	s, err := l.running()
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("%w in %s%s", errNone, l.Dir, l.died())
	}
	if s, err = l.adopt(); err != nil {
		return err
	}
	fmt.Printf("lab in %s: %s, process %d %s\n", l.Dir, s.shape(), s.PIDs[0], s.Accel)
	cmd := l.nodes(s, "status")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func (l *Lab) down() error {
	s, err := l.running()
	if err != nil {
		return err
	}
	if s == nil {
		fmt.Printf("lab: none runs in %s\n", l.Dir)
		return nil
	}
	return step("stop", func() error { return l.stop(s) })
}

func (l *Lab) stop(s *State) error {
	for _, pid := range s.PIDs {
		if err := l.end(pid); err != nil {
			return err
		}
	}
	if s.Driver == "native" {
		if err := l.cleanNative(); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(l.path("disk.raw")); err != nil {
		return err
	}
	return os.Remove(l.path("state.json"))
}
