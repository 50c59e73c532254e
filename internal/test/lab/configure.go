package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// configure writes the folder the driver reads (vm/) and the files people read.
func (l *Lab) configure() error {
	for _, d := range []string{"log", "trees", "setup"} {
		if err := os.RemoveAll(l.path("vm", d)); err != nil {
			return err
		}
	}
	for _, d := range []string{"log", "setup"} {
		if err := os.MkdirAll(l.path("vm", d), 0o755); err != nil {
			return err
		}
	}
	if err := l.makeKeys(); err != nil {
		return err
	}
	for name, content := range map[string]string{"boot.sh": bootScript, "nodes.sh": nodesScript, "env": l.nodesEnv(), "nodes": l.nodesTable()} {
		if err := os.WriteFile(l.path("vm", name), []byte(content), 0o755); err != nil {
			return err
		}
	}
	for _, h := range append(l.hosts(), l.machine()) {
		if err := l.writeTree(h); err != nil {
			return err
		}
	}
	return l.writeContract()
}

func (l *Lab) nodesEnv() string {
	if l.Driver == "native" {
		return fmt.Sprintf("BASE=%s DISK=%s MODULES=/lib/modules UPLINK= WIRE_ADDRESS=%s1 CGROUP=%s CONSOLE=%s\n",
			l.path("base"), l.path("disk"), wireNet, l.cgroup(), l.path("console.log"))
	}
	return "BASE=/lab/base DISK=/lab/disk MODULES= UPLINK=eth0 WIRE_ADDRESS=" + l.machine().Address + " CGROUP=/sys/fs/cgroup/lab CONSOLE=/dev/console\n"
}

// nodesTable gives every host a MAC that does not change over its reboots.
func (l *Lab) nodesTable() string {
	var b strings.Builder
	for i, h := range l.hosts() {
		fmt.Fprintf(&b, "%s %s 02:52:4d:00:00:%02x\n", h.Name, h.Address, i+1)
	}
	return b.String()
}

// treeFile is a file of a host's own.
type treeFile struct {
	content string
	mode    fs.FileMode
}

// tree is what makes a host this host and no other: its name, address, machine id and keys.
func (l *Lab) tree(h Host) (map[string]treeFile, error) {
	pub, err := os.ReadFile(l.privateKey() + ".pub")
	if err != nil {
		return nil, err
	}
	hosts := "127.0.0.1 localhost\n"
	for _, o := range l.hosts() {
		hosts += o.Address + " " + o.Name + "\n"
	}
	id := sha256.Sum256([]byte("routingmesh lab " + h.Name))
	files := map[string]treeFile{
		"etc/hostname":                  {h.Name + "\n", 0o644},
		"etc/hosts":                     {hosts, 0o644},
		"etc/machine-id":                {fmt.Sprintf("%x\n", id[:16]), 0o444},
		"root/.ssh/authorized_keys":     {string(pub), 0o600},
		"home/ops/.ssh/authorized_keys": {string(pub), 0o600},
		"etc/systemd/network/10-eth0.network": {fmt.Sprintf(
			"[Match]\nName=eth0\n\n[Network]\nAddress=%s/24\nGateway=%s1\nIPv6AcceptRA=no\n", h.Address, wireNet), 0o644},
	}
	for _, kind := range hostKeyKinds {
		for suffix, mode := range map[string]fs.FileMode{"": 0o600, ".pub": 0o644} {
			b, err := os.ReadFile(l.hostKey(h.Name, kind) + suffix)
			if err != nil {
				return nil, err
			}
			files["etc/ssh/ssh_host_"+kind+"_key"+suffix] = treeFile{string(b), mode}
		}
	}
	maps.Copy(files, l.presetFiles(h.Name))
	return files, nil
}

func (l *Lab) writeTree(h Host) error {
	files, err := l.tree(h)
	if err != nil {
		return err
	}
	if setup := l.presetSetup(h.Name); setup != "" {
		if err := os.WriteFile(l.path("vm", "setup", h.Name), []byte(setup), 0o644); err != nil {
			return err
		}
	}
	for name, f := range files {
		path := l.path("vm", "trees", h.Name, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.content), f.mode); err != nil {
			return err
		}
	}
	for _, d := range []string{"root", "root/.ssh", "home/ops/.ssh"} {
		if err := os.Chmod(l.path("vm", "trees", h.Name, d), 0o700); err != nil {
			return err
		}
	}
	return nil
}
