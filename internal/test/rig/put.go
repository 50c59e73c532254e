package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sync/errgroup"
)

// BuildFor builds a command of this checkout, named by its folder, for the hosts of the lab.
func (l *Lab) BuildFor(ctx context.Context, pkg, program string) error {
	cmd := l.command(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", program, "./"+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Put copies a file of this machine to hosts, at the same time, also over a program that runs; it may be executed there.
func (l *Lab) Put(ctx context.Context, file, to string, hosts ...string) error {
	var g errgroup.Group
	for _, h := range hosts {
		g.Go(func() error { return l.put(ctx, file, to, h) })
	}
	return g.Wait()
}

func (l *Lab) put(ctx context.Context, file, to, host string) error {
	cmd := l.Command(ctx, host, fmt.Sprintf("sh -c 'mkdir -p $(dirname %[1]s) && gzip -dc > %[1]s.new && chmod 755 %[1]s.new && mv %[1]s.new %[1]s'", to)) // the login shell may be csh
	pack := exec.CommandContext(ctx, "gzip", "-1c", file)
	packed, err := pack.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stdin = packed
	if err := pack.Start(); err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if err := errors.Join(err, pack.Wait()); err != nil {
		return fmt.Errorf("copy %s to %s: %w\n%s", file, host, err, out)
	}
	return nil
}
