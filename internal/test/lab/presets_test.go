package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What each preset writes into a node's tree, and the script that runs in it.
func TestPresets_Files(t *testing.T) {
	lab := fixed(t, map[string]string{"LAB_NODES": "1"})
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(presets)) {
		lab.Presets = map[string][]string{"n1": {name}}
		fmt.Fprintf(&b, "=== %s\n", name)
		files := lab.presetFiles("n1")
		for _, path := range slices.Sorted(maps.Keys(files)) {
			fmt.Fprintf(&b, "--- %s %04o\n%s", path, files[path].mode, files[path].content)
		}
		fmt.Fprintf(&b, "--- setup\n%s", lab.presetSetup("n1"))
	}
	golden(t, "presets", b.String())
}

func TestParseHosts(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"ufw":                        "n1=ufw n2=ufw",
		"n2=german+csh,n1=firewalld": "n1=firewalld n2=csh+german",
		"german n1=csh n1=csh":       "n1=csh+german n2=german",
		"n1=selinux":                 `LAB_IMAGE: there is no "selinux"; there are csh, doas, firewalld, german, nftables, ufw`,
		"n1=":                        `LAB_IMAGE: there is no ""; there are csh, doas, firewalld, german, nftables, ufw`,
		"n3=ufw":                     `LAB_IMAGE: "n3" is not one of the lab's 2 nodes (n1 to n2)`,
		"client=ufw":                 `LAB_IMAGE: "client" is not one of the lab's 2 nodes (n1 to n2)`,
	} {
		lab, err := newLab(func(k string) string { return map[string]string{"LAB_NODES": "2", "LAB_IMAGE": text}[k] })
		got := fmt.Sprint(err)
		if err == nil {
			got = lab.hostsText()
		}
		if got != want {
			t.Errorf("LAB_IMAGE=%q: got %s, want %s", text, got, want)
		}
	}
}

// Another LAB_IMAGE is another lab: the running one is restarted.
func TestHosts_AreOfTheShape(t *testing.T) {
	plain, ufw := State{Nodes: 2}, State{Nodes: 2, Hosts: "n1=ufw"}
	if plain.shape() == ufw.shape() || !strings.Contains(ufw.shape(), "n1=ufw") {
		t.Errorf("plain %q, with ufw %q", plain.shape(), ufw.shape())
	}
}

func TestConfigure_WritesPresets(t *testing.T) {
	lab := fixed(t, map[string]string{"LAB_NODES": "2", "LAB_DIR": t.TempDir(), "LAB_IMAGE": "n1=nftables n2=german"})
	if err := lab.configure(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"trees/n1/etc/nftables.conf":  nftablesConf,
		"setup/n1":                    lab.presetSetup("n1"),
		"trees/n2/etc/default/locale": "LANG=de_DE.UTF-8\n",
	} {
		if got, err := os.ReadFile(lab.path("vm", path)); err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", path, err, got)
		}
	}
	if got, err := filepath.Glob(lab.path("vm", "setup", "*")); err != nil || len(got) != 1 {
		t.Errorf("setups of %v, %v; want n1's alone", got, err)
	}
	lab.Presets = nil
	if err := lab.configure(); err != nil {
		t.Fatal(err)
	}
	if got, err := filepath.Glob(lab.path("vm", "*", "*", "etc", "nftables.conf")); err != nil || len(got) > 0 {
		t.Errorf("after a lab without presets: %v, %v", got, err)
	}
}
