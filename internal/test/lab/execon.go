package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// execOn runs a compiled test on a node as if it ran here: with ./testdata in its working directory, its
// arguments, TEST_* of the environment, and its exit code. One SSH connection carries program and output.
func (l *Lab) execOn(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("exec-on needs a node and a program: lab exec-on NODE PROGRAM [ARG …]")
	}
	if _, err := l.adopt(); err != nil {
		return err
	}
	h, err := l.host(args[0])
	if err != nil {
		return err
	}
	program, rest := args[1], args[2:]
	dir := "/tmp/on-node." + rand.Text()[:8]
	rest, profile := coverProfile(rest)
	pack := exec.Command("tar", tarArgs(program)...)
	pack.Stderr = os.Stderr
	run := l.ssh(h.Name, remoteScript(dir, filepath.Base(program), rest, os.Environ(), profile != ""))
	run.Stdout, run.Stderr = os.Stdout, os.Stderr
	if run.Stdin, err = pack.StdoutPipe(); err != nil {
		return err
	}
	if err := pack.Start(); err != nil {
		return err
	}
	runErr := run.Run()
	if err := pack.Wait(); err != nil && runErr == nil {
		return fmt.Errorf("pack %s: %w", program, err)
	}
	if profile != "" {
		if err := l.fetchProfile(h, dir, profile); err != nil && runErr == nil {
			return err
		}
	}
	return runErr
}

func tarArgs(program string) []string {
	args := []string{"--use-compress-program=gzip -1", "-cf", "-", "-C", filepath.Dir(program), filepath.Base(program)}
	if info, err := os.Stat("testdata"); err == nil && info.IsDir() {
		wd, _ := os.Getwd()
		args = append(args, "-C", wd, "testdata")
	}
	return args
}

// remoteScript is what the node's shell runs; the program comes in as a tar on its input.
func remoteScript(dir, program string, args, environ []string, keep bool) string {
	words := []string{"env"}
	for _, kv := range environ {
		if strings.HasPrefix(kv, "TEST_") {
			words = append(words, quote(kv))
		}
	}
	words = append(words, quote("./"+program))
	for _, a := range args {
		words = append(words, quote(a))
	}
	clean := "rm -rf " + dir
	if keep {
		clean = "true"
	}
	script := fmt.Sprintf("mkdir %s && cd %s && tar -xzf - && { %s </dev/null; rc=$?; cd /; %s; exit $rc; }", dir, dir, strings.Join(words, " "), clean)
	// the login shell may be any, and csh keeps neither newlines nor ! in quotes
	return `exec sh -c 'eval "$(echo ` + base64.StdEncoding.EncodeToString([]byte(script)) + ` | base64 -d)"'`
}

func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// coverProfile points a wanted coverage profile to the node's folder and says where it must be brought.
func coverProfile(args []string) (rewritten []string, local string) {
	for _, a := range args {
		if p, ok := strings.CutPrefix(a, "-test.coverprofile="); ok {
			local, a = p, "-test.coverprofile=cover.out"
		}
		if strings.HasPrefix(a, "-test.outputdir=") || strings.HasPrefix(a, "-test.gocoverdir=") {
			continue // folders of this machine
		}
		rewritten = append(rewritten, a)
	}
	return rewritten, local
}

func (l *Lab) fetchProfile(h Host, dir, local string) error {
	out, err := l.ssh(h.Name, "cat "+dir+"/cover.out; rm -rf "+dir).Output()
	if err != nil {
		return fmt.Errorf("fetch the coverage profile: %w", err)
	}
	return os.WriteFile(local, out, 0o644)
}
