//go:build lab

package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// look is what every node looks like now.
func (w *world) look(t *testing.T) []string {
	t.Helper()
	looks, err := w.Lab.Look(within(t, 3*time.Minute), w.Names)
	ok(t, err)
	return looks
}

// lives is what a reboot changes on a host without anybody's doing: the numbers of its links, and when files were written.
var lives = regexp.MustCompile(`(?m)^[0-9]+: |@if[0-9]+| link-netnsid [0-9]+| [0-9]+ 20[0-9]{2}-[0-9-]+\+[0-9:.]+$`)

// grows is what a host writes by itself.
var grows = regexp.MustCompile(`^/(run|tmp|var)/`)

// zoneOnceUsed are the chains that firewalld makes for a zone when its first link comes and keeps until its next reload. Nothing
// jumps to them without a link: that rmesh0 is in the zone no more is a line of another chain, which is compared.
var zoneOnceUsed = regexp.MustCompile(`^-A (IN|FWD|FWDI|FWDO|PRE|POST)_trusted(_[a-z]+)? `)

// settledLook is a look without what faults and reboots change: the order in which iptables-save has the tables, and which of them are
// there with nothing in them, is up to who touched them first. The rules of each are held against each other, byte for byte, by untouched.
func settledLook(look string) string {
	var lines []string
	section := ""
	for line := range strings.Lines(lives.ReplaceAllString(look, "")) {
		if name, is := strings.CutPrefix(line, "== "); is {
			section = strings.TrimSpace(name)
		}
		rules := strings.HasSuffix(section, "tables-save")
		switch {
		case section == "nft list ruleset", rules && (!strings.HasPrefix(line, "-A") || zoneOnceUsed.MatchString(line)), grows.MatchString(line):
		default:
			lines = append(lines, section+"\t"+line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// asFound wants the nodes to look as before.
func (w *world) asFound(t *testing.T, before []string) {
	t.Helper()
	for i, after := range w.look(t) {
		files := make([]string, 2)
		for j, text := range []string{before[i], after} {
			files[j] = filepath.Join(w.Lab.Dir, "faults", w.Names[i]+"."+[]string{"before", "after"}[j]+".txt")
			ok(t, os.WriteFile(files[j], []byte(settledLook(text)), 0o644))
		}
		if settledLook(before[i]) == settledLook(after) {
			continue
		}
		diff, err := exec.CommandContext(within(t, time.Minute), "diff", "-U0", files[0], files[1]).Output() // exits with 1: they differ
		if len(diff) == 0 {
			ok(t, err)
		}
		lines := strings.Split(string(diff), "\n")
		t.Errorf("%s is not as it was found:\n%s", w.Names[i], strings.Join(lines[:min(len(lines), 60)], "\n"))
	}
}
