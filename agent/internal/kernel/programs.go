package kernel

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

// programTimeout bounds one run of a program, the wait for its lock included.
const programTimeout = 60 * time.Second

// programs runs the few programs that we need, and counts.
type programs struct{ runs atomic.Int64 }

// run starts a program with an input and returns what it says. Called within
// netspace.do it runs in that namespace: a child has its thread's.
func (p *programs) run(ctx context.Context, input string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	path, err := find(name)
	if err != nil {
		return "", err
	}
	p.runs.Add(1)
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

// find also looks where a service's PATH may not lead.
func find(name string) (string, error) {
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

// oneLine fits what a program said into an error.
func oneLine(said string) string { return strings.Join(strings.Fields(said), " ") }
