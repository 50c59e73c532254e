package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// look is what every node looks like now.
func (d *demo) look(ctx context.Context) ([]string, error) {
	return d.lab.Look(ctx, d.names())
}

// compare holds the hosts against what they were. Both texts stay in the folder, for who wants to read on.
func (d *demo) compare(ctx context.Context, before, after []string) error {
	var differ []string
	for i, name := range d.names() {
		files := make([]string, 2)
		for j, text := range []string{before[i], after[i]} {
			files[j] = filepath.Join(d.terraform.Dir, name+"."+[]string{"before", "after"}[j]+".txt")
			if err := os.WriteFile(files[j], []byte(text), 0o600); err != nil {
				return err
			}
		}
		if before[i] == after[i] {
			continue
		}
		differ = append(differ, name)
		diff, err := exec.CommandContext(ctx, "diff", "-u", files[0], files[1]).Output() // exits with 1: they differ
		if err != nil && len(diff) == 0 {
			return err
		}
		d.screen.Say(d.screen.bad(name + " is not as it was:"))
		d.screen.Detail(clipLines(string(diff), 60))
	}
	if len(differ) > 0 {
		return errors.New(strings.Join(differ, ", ") + " differ from before; all of it: " + filepath.Join(d.terraform.Dir, "*.{before,after}.txt"))
	}
	d.screen.OK(fmt.Sprintf("%s: %d lines of rules, sets, links, routes, units, sysctls and files on each, no byte of them differs",
		strings.Join(d.names(), ", "), strings.Count(before[0], "\n")))
	return nil
}

func clipLines(s string, most int) string {
	lines := strings.SplitAfter(s, "\n")
	if len(lines) <= most {
		return s
	}
	return strings.Join(lines[:most], "") + fmt.Sprintf("… %d lines more\n", len(lines)-most)
}
