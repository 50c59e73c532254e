package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	suite    = "bookworm"
	maxNodes = 9
	wireNet  = "192.168.200."
)

// basePackages are in every node: what a server has, what the agent needs, what tests look with, and the programs
// that people have behind a mesh and in front of it (nginx, redis, a DNS server, HAProxy), with their clients; the
// firewalls, login shells and languages that hosts come with. Each
// package counts: the image is built anew on every fresh machine.
var basePackages = []string{
	"bind9-dnsutils", "ca-certificates", "conntrack", "curl", "dbus", "dnsmasq-base", "dnsperf", "docker.io", "ethtool", "firewalld",
	"fish", "haproxy", "ipset", "iproute2", "iptables", "iputils-ping", "ipvsadm", "jq", "kmod", "less", "locales", "netcat-openbsd",
	"nftables", "nginx-light", "opendoas", "openssh-server", "podman", "procps", "python3-minimal", "redis-server", "redis-tools", "socat", "sudo",
	"systemd", "systemd-container", "systemd-sysv", "tcpdump", "tcsh", "ufw", "wrk", "zsh",
}

// Lab is one lab: where it lives and what shape it has.
type Lab struct {
	Root     string              // the checkout
	Dir      string              // LAB_DIR, absolute
	Cache    string              // images, shared by all checkouts
	Nodes    int                 // besides the client
	Packages []string            // all of them, sorted
	Port     int                 // of the client; node i has Port+i
	Driver   string              // "vm", "native" or "" for what works here
	Presets  map[string][]string // what hosts the nodes are (LAB_IMAGE), by node
	Accel    string              // of the vm: "kvm", "tcg", "icount" or "" for what works here

	kvm     string        // the device
	release string        // os-release of this machine
	silence time.Duration // after which a guest that prints nothing does not run
}

// Host is one SSH destination of the lab.
type Host struct {
	Name    string
	Address string // on the wire
	Port    int    // on 127.0.0.1
}

func newLab(getenv func(string) string) (*Lab, error) {
	root, err := checkout()
	if err != nil && !filepath.IsAbs(getenv("LAB_DIR")) { // a lab that runs can be used from anywhere
		return nil, err
	}
	lab := &Lab{Root: root, Dir: filepath.Join(root, ".lab"), Nodes: 3, Port: 2200, Driver: getenv("LAB_DRIVER"), Accel: getenv("LAB_ACCEL"),
		kvm: "/dev/kvm", release: "/etc/os-release", silence: silence}
	if d := getenv("LAB_DIR"); d != "" {
		if !filepath.IsAbs(d) {
			d = filepath.Join(root, d)
		}
		lab.Dir = d
	}
	if strings.ContainsAny(lab.Dir, " ,\"'%$") {
		return nil, fmt.Errorf("LAB_DIR %q: ssh_config and QEMU cannot take this path; choose one without spaces, commas, quotes, %% and $", lab.Dir)
	}
	if lab.Nodes, err = number(getenv("LAB_NODES"), 3, 1, maxNodes); err != nil {
		return nil, fmt.Errorf("LAB_NODES: %w", err)
	}
	if lab.Port, err = number(getenv("LAB_SSH_PORT"), 2200, 1024, 65000); err != nil {
		return nil, fmt.Errorf("LAB_SSH_PORT: %w", err)
	}
	if lab.Presets, err = lab.parseHosts(getenv("LAB_IMAGE")); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "vm", "native"}, lab.Driver) {
		return nil, fmt.Errorf("LAB_DRIVER: %q is neither vm nor native", lab.Driver)
	}
	if !slices.Contains([]string{"", accelKVM, accelTCG}, lab.Accel) {
		return nil, fmt.Errorf("LAB_ACCEL: %q is neither kvm nor tcg", lab.Accel)
	}
	switch count := getenv("LAB_ICOUNT"); {
	case count == "" || count == "0":
	case count != "1":
		return nil, fmt.Errorf("LAB_ICOUNT: %q is neither 1 nor 0", count)
	case lab.Driver == "native" || lab.Accel != "":
		return nil, errors.New("LAB_ICOUNT=1 chooses driver and accelerator (vm, emulated): leave LAB_DRIVER and LAB_ACCEL out")
	default:
		lab.Driver, lab.Accel = "vm", accelCount
	}
	cache := getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(getenv("HOME"), ".cache")
	}
	lab.Cache = filepath.Join(cache, "routingmesh-lab")
	lab.Packages = packages(getenv("LAB_PACKAGES"))
	return lab, nil
}

var errNoCheckout = errors.New("run it inside the checkout of terraform-provider-routingmesh")

// checkout looks upwards, because go test -exec runs us in a package's folder.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "internal", "test", "lab")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", errNoCheckout
		}
	}
}

func number(s string, def, lo, hi int) (int, error) {
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < lo || n > hi {
		return 0, fmt.Errorf("%q is no number from %d to %d", s, lo, hi)
	}
	return n, nil
}

func packages(more string) []string {
	all := append(slices.Clone(basePackages), strings.FieldsFunc(more, func(r rune) bool { return r == ' ' || r == ',' })...)
	slices.Sort(all)
	return slices.Compact(all)
}

// imageHash names an image by everything that decides what is in it, except the day it was built.
func imageHash(pkgs []string, scripts ...string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", suite, strings.Join(pkgs, ","))
	for _, s := range scripts {
		fmt.Fprintf(h, "%d\n%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// nodeHosts are n1, n2 and so on.
func (l *Lab) nodeHosts() []Host {
	hosts := make([]Host, l.Nodes)
	for i := range hosts {
		hosts[i] = Host{Name: fmt.Sprintf("n%d", i+1), Address: wireNet + strconv.Itoa(10+i), Port: l.Port + i + 1}
	}
	return hosts
}

// hosts are the nodes and the client: everything that has a plug on the wire.
func (l *Lab) hosts() []Host {
	return append(l.nodeHosts(), Host{Name: "client", Address: wireNet + "100", Port: l.Port})
}

// machine is the virtual machine the hosts are in.
func (l *Lab) machine() Host {
	return Host{Name: "vm", Address: wireNet + "254", Port: l.Port + maxNodes + 1}
}

func (l *Lab) host(name string) (Host, error) {
	var names []string
	for _, h := range l.hosts() {
		if h.Name == name {
			return h, nil
		}
		names = append(names, h.Name)
	}
	return Host{}, fmt.Errorf("no node %q in this lab; it has %s", name, strings.Join(names, ", "))
}

func (l *Lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.Dir}, elem...)...)
}
