// Package program runs the few programs that the agent needs: iptables-save,
// iptables-restore and modprobe. Everything else of the kernel is written through
// netlink.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// timeout bounds one run of a program, the wait for its lock included.
const timeout = 60 * time.Second

// Runner runs programs, and counts.
type Runner struct{ runs atomic.Int64 }

// Runs is how many have been run so far.
func (r *Runner) Runs() int { return int(r.runs.Load()) }

// Run starts a program with an input and returns its output. Called within netns.Do
// it runs in that namespace: a child has its thread's.
func (r *Runner) Run(ctx context.Context, input string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	path, err := Find(name)
	if err != nil {
		return "", err
	}
	r.runs.Add(1)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, errors.Join(err, ctx.Err()), oneLine(said.String()))
	}
	return out.String(), nil
}

// Find also looks where a service's PATH may not lead.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	if err != nil {
		return "", fmt.Errorf("there is no program %s: %w", name, exec.ErrNotFound)
	}
	return path, nil
}

// ExtraModules says where distributions keep the modules that a small kernel lacks.
const ExtraModules = "Ubuntu: apt install linux-modules-extra-$(uname -r), RHEL and its kin: dnf install kernel-modules-extra, Debian's cloud kernel: apt install linux-image-amd64 or linux-image-arm64"

// oneLine fits what a program said into an error.
func oneLine(said string) string { return strings.Join(strings.Fields(said), " ") }
