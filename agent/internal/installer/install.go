// Package installer puts the agent on a host and takes it off again: the program, the
// service that starts it, and the files that the running agent keeps in order.
package installer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/client"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

// answerDeadline is how long a (re)started agent may take until it answers.
const answerDeadline = 20 * time.Second

// Installer installs the program that runs, and uninstalls any.
type Installer struct {
	layout.Layout
	Version        string
	Stdout, Stderr io.Writer
	Log            *slog.Logger
}

// Install puts this program in place as the host's agent and has it running
// when it returns. What is in place already is left alone, so that a second
// install is quick and interrupts nothing.
func (i *Installer) Install(ctx context.Context) error {
	if err := i.NeedRoot("installing the agent"); err != nil {
		return err
	}
	digest, err := layout.FileDigest(layout.OwnExecutable)
	if err != nil {
		return err
	}
	if err := layout.PrivateDir(i.RunDir()); err != nil {
		return err
	}
	release, err := i.HoldInstall(ctx)
	if err != nil {
		return err
	}
	defer release()
	if i.Layout, err = i.ChoosePlace(layout.Usable); err != nil {
		return err
	}
	if err := i.placeBinary(digest); err != nil {
		return fmt.Errorf("install the agent's program: %w", err)
	}
	init := i.initSystem()
	changed, err := init.configure(ctx)
	if err != nil {
		return fmt.Errorf("set the agent up as a service: %w", err)
	}
	i.restoreContexts(ctx)
	if st, err := client.New(i.Socket()).Status(ctx); changed || err != nil || st.BinarySHA256 != digest {
		if err := init.restart(ctx); err != nil {
			return fmt.Errorf("start the agent: %w", err)
		}
		if err := i.awaitAnswer(ctx, digest); err != nil {
			return fmt.Errorf("%w\n%s", err, init.lastWords(ctx))
		}
		fmt.Fprintf(i.Stdout, "routingmesh-agent %s (%.12s) is installed and runs\n", i.Version, digest)
	} else {
		fmt.Fprintf(i.Stdout, "routingmesh-agent %s (%.12s) was installed and running already\n", i.Version, digest)
	}
	return i.removeOtherVersions(digest)
}

// placeBinary copies this program to its versioned path and points the link at
// it. Both are replaced by a rename: there is a whole program at any moment.
func (i *Installer) placeBinary(digest string) error {
	target := i.Binary(digest)
	if have, err := layout.FileDigest(target); err != nil || have != digest {
		data, err := os.ReadFile(layout.OwnExecutable)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
			return errors.New("the running program's own file has changed on disk: install the agent again")
		}
		if err := layout.PublicDir(filepath.Dir(target)); err != nil {
			return err
		}
		if err := host.WriteFile(target, data, 0o755); err != nil {
			return err
		}
	}
	if to, err := os.Readlink(i.Link()); err == nil && to == target {
		return nil
	}
	if err := layout.PublicDir(filepath.Dir(i.Link())); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d", i.Link(), os.Getpid())
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, i.Link()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// awaitAnswer waits until the agent with the digest answers on the socket.
func (i *Installer) awaitAnswer(ctx context.Context, digest string) error {
	ctx, cancel := context.WithTimeout(ctx, answerDeadline)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("no answer")
	for {
		st, err := client.New(i.Socket()).Status(ctx)
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
func (i *Installer) removeOtherVersions(digest string) error {
	entries, err := os.ReadDir(i.LibDir())
	if err != nil {
		return err
	}
	keep := filepath.Base(filepath.Dir(i.Binary(digest)))
	for _, e := range entries {
		if e.Name() != keep {
			err = errors.Join(err, os.RemoveAll(filepath.Join(i.LibDir(), e.Name())))
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
