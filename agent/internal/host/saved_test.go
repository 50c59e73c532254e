package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What `nft list ruleset` prints of the mesh's rules cannot be loaded again; a file
// with the host's own tables can.
func TestCheckSavedRules(t *testing.T) {
	const printed = "table ip filter {\n\tchain ROUTINGMESH-IN {\n\t\tmeta l4proto tcp xt match set counter packets 0 bytes 0 accept\n\t}\n}\n"
	for name, tt := range map[string]struct {
		file, text string
		found      bool
	}{
		"Debian":         {"etc/nftables.conf", printed, true},
		"RHEL":           {"etc/sysconfig/nftables.conf", printed, true},
		"an include":     {"etc/nftables.d/saved.nft", printed, true},
		"their own":      {"etc/nftables.conf", "table inet filter { chain input { type filter hook input priority 0; } }\n", false},
		"others' xt":     {"etc/nftables.conf", "table ip filter { chain KUBE { xt match comment } }\n", false},
		"nothing at all": {"etc/hosts", printed, false},
	} {
		h := &Host{Root: t.TempDir()}
		path := filepath.Join(h.Root, tt.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := &check{self: cluster(t).Nodes["n1"]}
		h.checkSavedRules(c)
		if found := len(c.problems) == 1 && strings.Contains(c.problems[0].Text, path); found != tt.found {
			t.Errorf("%s: %+v", name, c.problems)
		}
	}
}
