package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// step runs one step and prints one line for it, with its seconds.
func step(what string, do func() error) error {
	start := time.Now()
	fmt.Printf("lab: %s …", what)
	err := do()
	if err != nil {
		fmt.Printf(" failed after %.1f s\n", time.Since(start).Seconds())
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Printf(" %.1f s\n", time.Since(start).Seconds())
	return nil
}

// asRoot is the command, by sudo where we are not root.
func asRoot(name string, args ...string) *exec.Cmd {
	if os.Geteuid() == 0 {
		return exec.Command(name, args...)
	}
	return exec.Command("sudo", append([]string{name}, args...)...)
}

// need is something this machine must have: a program or a file, and the Debian package that brings it.
type need struct{ thing, pkg string }

var needs = []need{
	{"mmdebstrap", "mmdebstrap"},
	{debianKeyring, "debian-archive-keyring"},
	{"mkfs.ext4", "e2fsprogs"},
	{"ssh-keygen", "openssh-client"},
}

var needsOf = map[string][]need{
	"vm":     {{qemuProgram, "qemu-system-x86"}},
	"native": {{"systemd-nspawn", "systemd-container"}, {"ip", "iproute2"}, {"nsenter", "util-linux"}},
}

func (n need) missing() bool {
	if strings.HasPrefix(n.thing, "/") {
		_, err := os.Stat(n.thing)
		return err != nil
	}
	_, err := exec.LookPath(n.thing)
	return err != nil
}

// install brings what is missing, after saying what.
func install(driver string) error {
	var pkgs []string
	for _, n := range append(needs, needsOf[driver]...) {
		if n.missing() {
			pkgs = append(pkgs, n.pkg)
		}
	}
	if len(pkgs) == 0 {
		return nil
	}
	list := strings.Join(pkgs, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine lacks %s, and has no apt-get to install it with; install it yourself and try again", list)
	}
	fmt.Printf("lab: this machine lacks %s; installing with apt-get\n", list)
	// a first try with the lists that are there; stale or missing ones are the usual reason for it to fail
	if aptInstall(pkgs) == nil {
		return nil
	}
	if err := step("apt-get update", func() error { return quiet(asRoot("apt-get", "-q", "update")) }); err != nil {
		return err
	}
	return aptInstall(pkgs)
}

func aptInstall(pkgs []string) error {
	return step("apt-get install "+strings.Join(pkgs, " "), func() error {
		args := append([]string{"DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "--no-install-recommends", "install"}, pkgs...)
		return quiet(asRoot("env", args...))
	})
}

// quiet runs a command whose output matters only when it fails.
func quiet(cmd *exec.Cmd) error {
	cmd.Stdin = os.Stdin // sudo may ask
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(string(out), 15))
	}
	return nil
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// tailFile is for error messages: the end of a log, or nothing.
func tailFile(path string, lines int) string {
	b, _ := os.ReadFile(path)
	return tail(string(b), lines)
}

// chooseDriver prefers the running kernel, because it is real speed; it needs root, IPVS, VXLAN and cgroups v2.
func chooseDriver(wanted string) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("the lab's image is built for linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	lacks := nativeLacks()
	switch {
	case wanted == "native" && lacks != "":
		return "", fmt.Errorf("LAB_DRIVER=native: %s; use LAB_DRIVER=vm", lacks)
	case wanted != "":
		return wanted, nil
	case lacks != "":
		fmt.Printf("lab: nodes run in a virtual machine (%s)\n", lacks)
		return "vm", nil
	}
	return "native", nil
}

func nativeLacks() string {
	if os.Geteuid() != 0 {
		return "we are not root"
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.subtree_control"); err != nil {
		return "no cgroup v2 at /sys/fs/cgroup"
	}
	for _, m := range []string{"ip_vs", "vxlan", "br_netfilter", "overlay"} {
		if err := exec.Command("modprobe", m).Run(); err != nil {
			return "this kernel has no module " + m
		}
	}
	if _, err := os.Stat("/proc/net/ip_vs"); err != nil {
		return "this kernel has no IPVS"
	}
	return ""
}
