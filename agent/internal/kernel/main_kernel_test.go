//go:build kernel

// Tests against a real kernel. They need root, and leave nothing behind: the
// test binary starts itself again in network and mount namespaces of its own.
package kernel_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// isolated is 1 in namespaces of the tests' own, and listing where the tests are only listed.
const (
	isolated = "ROUTINGMESH_TEST_ISOLATED"
	listing  = "listing"
)

func TestMain(m *testing.M) {
	switch os.Getenv(isolated) {
	case "":
		os.Exit(isolate())
	case listing: // in the namespaces of the node: nothing is mounted
		os.Exit(m.Run())
	}
	if err := ownRun(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare namespaces for the tests:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// shardWord is TEST_SHARD of the environment: "1/2" is every second test from the first on, "2/2" are the others. Most tests wait for
// the kernel, so two processes, each with namespaces of its own, take little more than half the time of one.
const shardWord = "TEST_SHARD"

// shard is the argument that has this binary run a shard of its tests, and is none without TEST_SHARD.
func shard() ([]string, error) {
	word := os.Getenv(shardWord)
	if word == "" {
		return nil, nil
	}
	var which, of int
	if n, err := fmt.Sscanf(word, "%d/%d", &which, &of); n != 2 || which < 1 || which > of {
		return nil, fmt.Errorf("%s is %q, and is to be like 1/2: %w", shardWord, word, err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.list", ".")
	cmd.Env = append(os.Environ(), isolated+"="+listing)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests: %w", err)
	}
	var mine []string
	for i, name := range strings.Fields(string(out)) {
		if i%of == which-1 {
			mine = append(mine, name)
		}
	}
	return []string{"-test.run", "^(" + strings.Join(mine, "|") + ")$"}, nil
}

func isolate() int {
	only, err := shard()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Modules of the machine's kernel; built in or missing ones show up in the tests.
	for _, module := range []string{"ip_vs", "ip_vs_rr", "vxlan", "veth", "dummy", "bridge", "ip_set_bitmap_port", "ip_set_hash_ip"} {
		_ = exec.Command("modprobe", module).Run()
	}
	cmd := exec.Command("/proc/self/exe", append(os.Args[1:], only...)...)
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
