package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// State is what a running lab remembers of itself, in state.json.
type State struct {
	Driver string `json:"driver"`
	Nodes  int    `json:"nodes"`
	Port   int    `json:"port"`
	Image  string `json:"image"`
	Hosts  string `json:"hosts,omitempty"` // LAB_IMAGE
	Accel  string `json:"accel,omitempty"` // of QEMU: what this machine can do, part of the shape only where it counts instructions
	PIDs   []int  `json:"pids"`            // the first one holds the nodes: QEMU, or the native driver's nodes.sh
}

func (s *State) shape() string {
	shape := fmt.Sprintf("driver %s, %d nodes, ports from %d, image %s", s.Driver, s.Nodes, s.Port, s.Image)
	if s.Accel == accelCount {
		shape += ", instructions counted"
	}
	if s.Hosts != "" {
		shape += ", " + s.Hosts
	}
	return shape
}

// running is the state of the running lab, nil if none runs. What a killed machine left behind is no lab.
func (l *Lab) running() (*State, error) {
	b, err := os.ReadFile(l.path("state.json"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path("state.json"), err)
	}
	if len(s.PIDs) == 0 || !l.owns(s.PIDs[0]) {
		return nil, nil
	}
	return &s, nil
}

// died says how a lab ended that nobody has ended: its state is still there. Empty if there was none.
func (l *Lab) died() string {
	b, err := os.ReadFile(l.path("state.json"))
	var s State
	if err != nil || json.Unmarshal(b, &s) != nil || len(s.PIDs) == 0 {
		return ""
	}
	log := l.path("console.log")
	if s.Driver == "vm" {
		log = l.qemuLog(s.Accel)
	}
	text := fmt.Sprintf(". It ended without lab down (process %d)", s.PIDs[0])
	if words := tailFile(log, 6); words != "" {
		return text + "; its last words, in " + log + ":\n" + words
	}
	return text + ", and left no word in " + log
}

// adopt takes over the running lab's shape: only lab up looks at LAB_NODES and LAB_SSH_PORT.
func (l *Lab) adopt() (*State, error) {
	s, err := l.running()
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("no lab runs in %s; start it with make lab-up%s", l.Dir, l.died())
	}
	l.Driver, l.Nodes, l.Port = s.Driver, s.Nodes, s.Port
	return s, nil
}

func (l *Lab) save(s *State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(l.path("state.json"), b, 0o644)
}

// owns says whether the process is this lab's: process ids are reused, so its command line must name our folder.
func (l *Lab) owns(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	return bytes.Contains(b, []byte(l.Dir+"/")) && !zombie(pid)
}

func zombie(pid int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}

// end ends one of our processes, politely first.
func (l *Lab) end(pid int) error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !l.owns(pid) {
			return nil
		}
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("end process %d: %w", pid, err)
		}
		for range 50 {
			if !l.owns(pid) {
				return nil
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}
