//go:build kernel

// Tests against a real kernel. They need root, and leave nothing behind: the
// test binary starts itself again in network and mount namespaces of its own.
package kernel_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const isolated = "ROUTINGMESH_TEST_ISOLATED"

func TestMain(m *testing.M) {
	if os.Getenv(isolated) == "" {
		os.Exit(isolate())
	}
	if err := ownRun(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare namespaces for the tests:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func isolate() int {
	// Modules of the machine's kernel; built in or missing ones show up in the tests.
	for _, module := range []string{"ip_vs", "ip_vs_rr", "vxlan", "veth", "dummy", "bridge", "ip_set_bitmap_port", "ip_set_hash_ip"} {
		_ = exec.Command("modprobe", module).Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolated+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(cmd.ProcessState.ExitCode(), 1)
	}
	return 0
}

// ownRun gives this mount namespace a /run/netns of its own.
func ownRun() error {
	if err := unix.Mount("", "/", "none", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	return unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, "mode=755")
}
