package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// hostKeyKinds: two, so that code which pins one kind of host key is tested against hosts that have more.
var hostKeyKinds = []string{"ed25519", "ecdsa"}

func (l *Lab) privateKey() string { return l.path("id_ed25519") }

func (l *Lab) hostKey(host, kind string) string {
	return l.path("keys", host, "ssh_host_"+kind+"_key")
}

// makeKeys makes what is missing: a lab keeps its keys over lab-down, so that known_hosts files stay true.
func (l *Lab) makeKeys() error {
	if err := keygen(l.privateKey(), "ed25519"); err != nil {
		return err
	}
	for _, h := range append(l.hosts(), l.machine()) {
		for _, kind := range hostKeyKinds {
			if err := keygen(l.hostKey(h.Name, kind), kind); err != nil {
				return err
			}
		}
	}
	return nil
}

func keygen(path, kind string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "lab", "-f", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ssh-keygen for %s: %w\n%s", path, err, out)
	}
	return nil
}
