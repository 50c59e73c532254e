package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

// detached runs the agent as a process of its own on hosts without systemd.
// Nothing starts it at boot there.
type detached struct{ layout.Layout }

func (d *detached) configure(context.Context) (bool, error) { return false, nil }

func (d *detached) restart(ctx context.Context) error {
	if err := d.stop(ctx); err != nil {
		return err
	}
	if err := layout.PrivateDir(d.RunDir()); err != nil {
		return err
	}
	out, err := os.OpenFile(d.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(d.Link(), "run") //nolint:noctx // it outlives this program
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	return errors.Join(
		host.WriteFile(d.PIDFile(), []byte(strconv.Itoa(pid)+"\n"), 0o600),
		cmd.Process.Release(),
	)
}

// ShutdownGrace is how long an agent that is asked to end may take.
const ShutdownGrace = 10 * time.Second

// stopDeadline is longer than ShutdownGrace.
const stopDeadline = ShutdownGrace + 5*time.Second

// stop ends the agent of the pid file, if that process is one.
func (d *detached) stop(ctx context.Context) error {
	pid, err := d.pid()
	if err != nil || pid == 0 || !d.isAgent(pid) {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end the running agent (pid %d): %w", pid, err)
	}
	deadline := time.After(stopDeadline)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for d.isAgent(pid) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("the running agent (pid %d) does not end within %s: see %s", pid, stopDeadline, d.LogFile())
		case <-tick.C:
		}
	}
	return nil
}

// pid is that of the pid file, 0 when there is none.
func (d *detached) pid() (int, error) {
	data, err := os.ReadFile(d.PIDFile())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && pid > 1 {
		return pid, nil
	}
	return 0, nil // torn, or not ours: there is nobody to end
}

// isAgent reports whether the process runs a program that we installed. A
// process that has ended, or the pid of which is another's now, does not.
func (d *detached) isAgent(pid int) bool {
	exe, err := os.Readlink(d.Path("proc", strconv.Itoa(pid), "exe"))
	return err == nil && strings.HasPrefix(exe, d.LibDir()+"/")
}

func (d *detached) remove(ctx context.Context) error { return d.stop(ctx) }

func (d *detached) lastWords(context.Context) string {
	data, err := os.ReadFile(d.LogFile())
	if err != nil {
		return err.Error()
	}
	return "Its log:\n" + string(data)
}
