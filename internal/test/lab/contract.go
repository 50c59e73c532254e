package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The files of this file are the lab's contract: people, tests and scripts rely on their names and contents.
// All paths in them are absolute, so that they work from any folder.
func (l *Lab) writeContract() error {
	known, err := l.knownHosts()
	if err != nil {
		return err
	}
	tfvars, err := l.tfvars()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"ssh_config":           l.sshConfig(),
		"known_hosts":          known,
		"lab.auto.tfvars.json": tfvars,
		"terraformrc":          l.terraformrc(),
	} {
		if err := os.WriteFile(l.path(name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(l.path("bin"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(l.path("bin", "on-node"), []byte(l.onNode()), 0o755)
}

func (l *Lab) sshConfig() string {
	var b strings.Builder
	b.WriteString("# written by lab up\n")
	for _, h := range append(l.hosts(), l.machine()) {
		fmt.Fprintf(&b, "Host %s\n  HostName 127.0.0.1\n  Port %d\n", h.Name, h.Port)
	}
	// the host keys are ours, so they are checked; cryptography that is cheap to emulate; a node that hangs is told from a slow one after 15 s
	fmt.Fprintf(&b, `Host *
  User root
  IdentityFile %s
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile %s
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  KexAlgorithms curve25519-sha256
  Ciphers aes128-gcm@openssh.com
  BatchMode yes
  LogLevel ERROR
  ControlMaster no
  ControlPath none
  ConnectTimeout 15
  ServerAliveInterval 15
  ServerAliveCountMax 4
`, l.privateKey(), l.path("known_hosts"))
	return b.String()
}

func (l *Lab) knownHosts() (string, error) {
	var b strings.Builder
	for _, h := range append(l.hosts(), l.machine()) {
		for _, kind := range hostKeyKinds {
			pub, err := os.ReadFile(l.hostKey(h.Name, kind) + ".pub")
			if err != nil {
				return "", err
			}
			fields := strings.Fields(string(pub))
			fmt.Fprintf(&b, "[127.0.0.1]:%d %s %s\n", h.Port, fields[0], fields[1])
		}
	}
	return b.String(), nil
}

func (l *Lab) tfvars() (string, error) {
	type ssh struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	type node struct {
		Address string `json:"address"`
		SSH     ssh    `json:"ssh"`
	}
	nodes := map[string]node{}
	for _, h := range l.nodeHosts() {
		nodes[h.Name] = node{h.Address, ssh{"127.0.0.1", h.Port}}
	}
	out, err := json.MarshalIndent(struct {
		Nodes map[string]node `json:"nodes"`
		Key   string          `json:"private_key_file"`
	}{nodes, l.privateKey()}, "", "  ")
	return string(out) + "\n", err
}

func (l *Lab) terraformrc() string {
	return fmt.Sprintf(`provider_installation {
  dev_overrides {
    "routingmesh/routingmesh" = %q
  }
  direct {}
}
`, filepath.Join(l.Root, "bin"))
}

func (l *Lab) onNode() string {
	return fmt.Sprintf("#!/bin/sh\n# go test -exec \"%s n1\"\nLAB_DIR=%s exec %s exec-on \"$@\"\n",
		l.path("bin", "on-node"), l.Dir, filepath.Join(l.Root, "bin", "lab"))
}
