package host

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// savedRulesets are where distributions have nftables.service load rules from.
var savedRulesets = []string{"etc/nftables.conf", "etc/nftables/*.nft", "etc/nftables.d/*.nft", "etc/sysconfig/nftables.conf"}

// checkSavedRules finds a rule set that was written with `nft list ruleset` while the
// mesh was up. nft prints matches of iptables as "xt match set", which it cannot read
// back, and it loads a file whole or not at all.
func (h *Host) checkSavedRules(c *check) {
	for _, pattern := range savedRulesets {
		files, err := filepath.Glob(filepath.Join(h.root(), pattern))
		if err != nil {
			continue // only of a pattern that is wrong
		}
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil && unreadable(text) {
				c.node(mesh.ProblemSavedRules, "", "%s has the mesh's rules, as `nft list ruleset` prints them. nft cannot load these, and then loads nothing of the file, the host's own rules neither. "+
					"Take the tables with chains named %s out of it (ip nat, ip filter): the agent makes the mesh's rules itself. Try it with `nft -c -f %[1]s`.", file, state.ChainPrefix)
			}
		}
	}
}

func unreadable(text []byte) bool {
	return bytes.Contains(text, []byte(state.ChainPrefix)) && bytes.Contains(text, []byte("xt match"))
}

func (h *Host) root() string {
	if h.Root == "" {
		return "/"
	}
	return h.Root
}
