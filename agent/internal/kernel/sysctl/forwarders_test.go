package sysctl

import (
	"os"
	"path/filepath"
	"testing"
)

func TestConfigured(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, content string
		want          bool
	}{
		"nothing":            {"etc/sysctl.conf", "#net.ipv4.ip_forward=1\nnet.ipv4.ip_forward = 0\nnet.ipv6.conf.all.forwarding=1\n", false},
		"sysctl.conf":        {"etc/sysctl.conf", "vm.swappiness=10\n net.ipv4.ip_forward = 1 \n", true},
		"with slashes":       {"etc/sysctl.d/99-router.conf", "-net/ipv4/ip_forward=1", true},
		"another name of it": {"usr/lib/sysctl.d/50-libvirt.conf", "net.ipv4.conf.all.forwarding=1\n", true},
		"no .conf":           {"etc/sysctl.d/99-router.conf.bak", "net.ipv4.ip_forward=1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			file := filepath.Join(root, c.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := configured(root); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}

func FuzzAsksForwarding(f *testing.F) {
	f.Add("net.ipv4.ip_forward=1\n")
	f.Add("-net/ipv4/ip_forward = 1")
	f.Fuzz(func(t *testing.T, content string) {
		if !asksForwarding(content + "\nnet.ipv4.ip_forward=1\n") {
			t.Error("a line more hides the one that asks")
		}
	})
}
