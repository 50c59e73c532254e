package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The native driver: the same nodes right on this machine, where its kernel has IPVS and we are root. Wire and
// nodes live in a mount and a network namespace of their own, so that neither this machine's firewall nor
// another lab is in their way, and all of it is gone when the last process is. What differs from the virtual
// machine: nested namespaces inherit net.ipv4.ip_forward from this machine.
//
// It is exercised only where the kernel allows it.

func (l *Lab) cgroup() string {
	return fmt.Sprintf("/sys/fs/cgroup/rmlab-%x", sha256.Sum256([]byte(l.Dir)))[:len("/sys/fs/cgroup/rmlab-")+8]
}

func (l *Lab) startNative() ([]int, error) {
	if err := os.RemoveAll(l.path("console.log")); err != nil {
		return nil, err
	}
	for _, d := range []string{"base", "disk"} {
		if err := os.MkdirAll(l.path(d), 0o755); err != nil {
			return nil, err
		}
	}
	script := `set -e
mount -t ext4 -o loop,ro "$1/root.ext4" "$2base"
mkdir -p /run/netns /run/rmlab; mount -t tmpfs netns /run/netns; mount -t tmpfs rmlab /run/rmlab
mount -t sysfs sys /sys; mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
exec "$2vm/nodes.sh" serve`
	serve, err := l.detach("unshare", "-m", "-n", "--propagation", "private", "sh", "-c", script, "sh", l.imageDir(), l.Dir+"/")
	if err != nil {
		return nil, err
	}
	if err := l.awaitServe(serve); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	forward, err := l.detach(self, "forward", strconv.Itoa(serve), l.path("ssh_config"))
	return []int{serve, forward}, err
}

// awaitServe waits until the process is through with its mounts and has become nodes.sh.
func (l *Lab) awaitServe(pid int) error {
	for range 100 {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(b), "nodes.sh\x00serve") {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = l.cleanNative()
	return fmt.Errorf("the nodes were not started; the end of %s:\n%s", l.path("console.log"), tailFile(l.path("console.log"), 12))
}

// detach starts a process that outlives us and our terminal.
func (l *Lab) detach(name string, args ...string) (int, error) {
	log, err := os.OpenFile(l.path("console.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "LAB_DIR="+l.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid // before Release forgets it
	return pid, cmd.Process.Release()
}

// cleanNative ends what is left of the nodes; namespaces and mounts go with the last process.
func (l *Lab) cleanNative() error {
	cg := l.cgroup()
	if err := os.WriteFile(filepath.Join(cg, "cgroup.kill"), []byte("1"), 0); err != nil && !os.IsNotExist(err) {
		return err
	}
	for range 50 {
		_ = exec.Command("find", cg, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
		if _, err := os.Stat(cg); os.IsNotExist(err) {
			return os.RemoveAll(l.path("disk"))
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("processes are left in %s", cg)
}

// forward joins 127.0.0.1:PORT of this machine to port 22 of the host on the wire, until it is ended. The second
// argument only marks the process as this lab's.
func (l *Lab) forward(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("forward PID MARK")
	}
	s, err := l.adoptWait()
	if err != nil {
		return err
	}
	ns := fmt.Sprintf("/proc/%d/ns/net", s.PIDs[0])
	failed := make(chan error)
	for _, h := range l.hosts() {
		listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", h.Port))
		if err != nil {
			return err
		}
		go func() { failed <- accept(listener, ns, h.Address+":22") }()
	}
	return <-failed
}

// adoptWait: lab up writes the state a moment after it has started us.
func (l *Lab) adoptWait() (*State, error) {
	for range 50 {
		if s, err := l.adopt(); err == nil {
			return s, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return l.adopt()
}

func accept(listener net.Listener, ns, address string) error {
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			node, err := dialIn(ns, address)
			if err != nil {
				return
			}
			defer node.Close()
			go func() {
				_, _ = io.Copy(node, c)
				if half, ok := node.(*net.TCPConn); ok {
					_ = half.CloseWrite()
				}
			}()
			_, _ = io.Copy(c, node)
		}()
	}
}

// dialIn makes a connection whose socket belongs to another network namespace: a socket stays in the one its
// thread was in. The thread is not unlocked, so Go throws it away.
func dialIn(ns, address string) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		f, err := os.Open(ns)
		if err == nil {
			defer f.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- result{nil, err}
			return
		}
		c, err := net.DialTimeout("tcp4", address, 20*time.Second)
		done <- result{c, err}
	}()
	r := <-done
	return r.c, r.err
}
