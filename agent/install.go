package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
)

// answerDeadline is how long a (re)started agent may take until it answers.
const answerDeadline = 20 * time.Second

// install puts this program in place as the host's agent and has it running
// when it returns. What is in place already is left alone, so that a second
// install is quick and interrupts nothing.
func (p *program) install(ctx context.Context) error {
	if err := p.needRoot("installing the agent"); err != nil {
		return err
	}
	digest, err := fileDigest(ownExecutable)
	if err != nil {
		return err
	}
	if err := privateDir(p.runDir()); err != nil {
		return err
	}
	release, err := p.lockInstall(ctx)
	if err != nil {
		return err
	}
	defer release()
	if p.layout, err = p.choosePlace(usable); err != nil {
		return err
	}
	if err := p.placeBinary(digest); err != nil {
		return fmt.Errorf("install the agent's program: %w", err)
	}
	init := p.initSystem()
	changed, err := init.configure(ctx)
	if err != nil {
		return fmt.Errorf("set the agent up as a service: %w", err)
	}
	p.restoreContexts(ctx)
	if st, err := p.fetchStatus(ctx); changed || err != nil || st.BinarySHA256 != digest {
		if err := init.restart(ctx); err != nil {
			return fmt.Errorf("start the agent: %w", err)
		}
		if err := p.awaitAnswer(ctx, digest); err != nil {
			return fmt.Errorf("%w\n%s", err, init.lastWords(ctx))
		}
		fmt.Fprintf(p.stdout, "routingmesh-agent %s (%.12s) is installed and runs\n", version, digest)
	} else {
		fmt.Fprintf(p.stdout, "routingmesh-agent %s (%.12s) was installed and running already\n", version, digest)
	}
	return p.removeOtherVersions(digest)
}

// placeBinary copies this program to its versioned path and points the link at
// it. Both are replaced by a rename: there is a whole program at any moment.
func (p *program) placeBinary(digest string) error {
	target := p.binary(digest)
	if have, err := fileDigest(target); err != nil || have != digest {
		data, err := os.ReadFile(ownExecutable)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
			return errors.New("the running program's own file has changed on disk: install the agent again")
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := host.WriteFile(target, data, 0o755); err != nil {
			return err
		}
	}
	if to, err := os.Readlink(p.link()); err == nil && to == target {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p.link()), 0o755); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d", p.link(), os.Getpid())
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, p.link()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// awaitAnswer waits until the agent with the digest answers on the socket.
func (p *program) awaitAnswer(ctx context.Context, digest string) error {
	ctx, cancel := context.WithTimeout(ctx, answerDeadline)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("no answer")
	for {
		st, err := p.fetchStatus(ctx)
		switch {
		case err == nil && st.BinarySHA256 == digest:
			return nil
		case err == nil:
			last = fmt.Errorf("another version (%.12s) answers", st.BinarySHA256)
		case ctx.Err() == nil:
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agent was started but does not answer within %s: %w", answerDeadline, last)
		case <-tick.C:
		}
	}
}

// removeOtherVersions removes what earlier installs have left.
func (p *program) removeOtherVersions(digest string) error {
	entries, err := os.ReadDir(p.libDir())
	if err != nil {
		return err
	}
	keep := filepath.Base(filepath.Dir(p.binary(digest)))
	for _, e := range entries {
		if e.Name() != keep {
			err = errors.Join(err, os.RemoveAll(filepath.Join(p.libDir(), e.Name())))
		}
	}
	return err
}

// replaceIfDifferent writes data to path unless it is there already.
func replaceIfDifferent(path string, data []byte, mode os.FileMode) (changed bool, err error) {
	have, err := os.ReadFile(path)
	if err == nil && bytes.Equal(have, data) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, host.WriteFile(path, data, mode)
}
