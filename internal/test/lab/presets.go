package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// preset makes a node a host as hosts come: files of it, and what is done as root in its tree before it boots for the
// first time (no service runs then, the kernel is the machine's).
type preset struct {
	about string
	files map[string]treeFile
	setup string
}

var presets = map[string]preset{
	"firewalld": {
		about: "firewalld runs, zone public",
		setup: "systemctl enable firewalld\n",
	},
	"ufw": {
		about: "ufw denies what comes in, but SSH",
		setup: ufwSetup,
	},
	"nftables": {
		about: "nftables.service, /etc/nftables.conf drops what comes in, but SSH, and what is forwarded",
		files: map[string]treeFile{"etc/nftables.conf": {nftablesConf, 0o755}},
		setup: "systemctl enable nftables\n",
	},
	"doas": {
		about: "no sudo; ops has doas without a password",
		files: map[string]treeFile{"etc/doas.conf": {"permit nopass ops as root\n", 0o600}},
		setup: "rm -rf /usr/bin/sudo /usr/bin/sudoedit /etc/sudoers.d/ops\n",
	},
	"csh": {
		about: "tcsh is the login shell of root and ops",
		setup: "usermod -s /bin/tcsh root\nusermod -s /bin/tcsh ops\n",
	},
	"german": {
		about: "logins have LANG=de_DE.UTF-8",
		files: map[string]treeFile{"etc/default/locale": {"LANG=de_DE.UTF-8\n", 0o644}}, // read by pam_env of sshd
	},
}

// ufwSetup writes what ufw allow 22/tcp writes, which takes an emulated machine seconds.
const ufwSetup = `allow() { sed -i "s|^### RULES ###|&\n\n### tuple ### allow tcp 22 $2 any $2 in\n-A $3 -p tcp --dport 22 -j ACCEPT|" "/etc/ufw/$1"; }
allow user.rules 0.0.0.0/0 ufw-user-input
allow user6.rules ::/0 ufw6-user-input
sed -i 's/^ENABLED=.*/ENABLED=yes/' /etc/ufw/ufw.conf
systemctl enable ufw
`

// nftablesConf is Debian's own, with policies as guides recommend them.
const nftablesConf = `#!/usr/sbin/nft -f

flush ruleset

table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iif "lo" accept
		ip protocol icmp accept
		tcp dport 22 accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
	}
	chain output {
		type filter hook output priority filter; policy accept;
	}
}
`

// parseHosts reads LAB_IMAGE: "n1=firewalld n2=csh+german", or "ufw" for all nodes. The presets are by node.
func (l *Lab) parseHosts(text string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		node, names, one := strings.Cut(word, "=")
		nodes := []string{node}
		if !one {
			names, nodes = node, nil
			for _, h := range l.nodeHosts() {
				nodes = append(nodes, h.Name)
			}
		}
		for _, n := range nodes {
			if h, err := l.host(n); err != nil || h.Name == "client" {
				return nil, fmt.Errorf("LAB_IMAGE: %q is not one of the lab's %d nodes (n1 to n%d)", n, l.Nodes, l.Nodes)
			}
			for name := range strings.SplitSeq(names, "+") {
				if _, found := presets[name]; !found {
					return nil, fmt.Errorf("LAB_IMAGE: there is no %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(presets)), ", "))
				}
				if !slices.Contains(all[n], name) {
					all[n] = append(all[n], name)
				}
			}
		}
	}
	for _, names := range all {
		slices.Sort(names)
	}
	return all, nil
}

// hostsText is LAB_IMAGE as the lab's state has it: the same for the same hosts.
func (l *Lab) hostsText() string {
	var words []string
	for _, n := range slices.Sorted(maps.Keys(l.Presets)) {
		words = append(words, n+"="+strings.Join(l.Presets[n], "+"))
	}
	return strings.Join(words, " ")
}

// presetFiles are what the presets of a node add to its tree.
func (l *Lab) presetFiles(node string) map[string]treeFile {
	files := map[string]treeFile{}
	for _, name := range l.Presets[node] {
		maps.Copy(files, presets[name].files)
	}
	return files
}

// presetSetup is the script that runs in the node's tree before its first boot, empty if there is nothing to do.
func (l *Lab) presetSetup(node string) string {
	var b strings.Builder
	for _, name := range l.Presets[node] {
		if p := presets[name]; p.setup != "" {
			fmt.Fprintf(&b, "# %s: %s\n%s", name, p.about, p.setup)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "set -e\n" + b.String()
}

// presetList is for people: what each preset is.
func presetList() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(presets)) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, presets[name].about)
	}
	return b.String()
}
