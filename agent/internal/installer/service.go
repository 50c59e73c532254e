package installer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

// initSystem starts the agent and keeps it running.
type initSystem interface {
	// configure makes the service known, to be started at every boot; changed
	// says that a running agent has to be restarted for it.
	configure(ctx context.Context) (changed bool, err error)
	restart(ctx context.Context) error
	// remove stops the service and makes it unknown again; it is no error if it
	// was not there.
	remove(ctx context.Context) error
	// lastWords is what a service that fails to start has said, for a person.
	lastWords(ctx context.Context) string
}

func (i *Installer) initSystem() initSystem {
	if _, err := os.Stat(i.Path("run/systemd/system")); err == nil { // sd_booted(3)
		return &systemd{i.Layout}
	}
	return &detached{i.Layout}
}

// systemd runs the agent as a unit.
type systemd struct{ layout.Layout }

// unitFormat names the link, not the version: an update does not change it.
// After whatever makes the host's own rules at boot, which may begin with a flush
// or put itself first, and after the network's configuration, which may take
// links that it does not know for its own. Not after network-online: the mesh
// needs no address of the underlay to be there. KillMode=process, and nothing in
// ExecStop: the kernel state outlives the agent, and an iptables-restore under way
// is not cut. An agent that does not tell systemd for WatchdogSec that it gets on (package
// daemon) is aborted, which has it print where it hangs, and started again. In the
// descriptor store are the resolver's two sockets, where queries wait over a restart; it has
// room for those of the next namespace beside them.
const unitFormat = `[Unit]
Description=Routing mesh node agent
Documentation=https://github.com/routingmesh/terraform-provider-routingmesh
After=network.target systemd-networkd.service NetworkManager.service systemd-sysctl.service systemd-modules-load.service
After=firewalld.service nftables.service netfilter-persistent.service iptables.service ipset.service ufw.service
After=docker.service containerd.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=%s run
Restart=always
RestartSec=1
KillMode=process
WatchdogSec=2min
TimeoutAbortSec=20s
FileDescriptorStoreMax=4
` + sandbox + `
[Install]
WantedBy=multi-user.target
`

func unitText(l layout.Layout) string { return fmt.Sprintf(unitFormat, l.Link()) }

func (s *systemd) configure(ctx context.Context) (bool, error) {
	if err := s.configureSets(ctx); err != nil {
		return false, err
	}
	changed, err := replaceIfDifferent(s.Unit(), []byte(unitText(s.Layout)), 0o644)
	if err != nil {
		return false, err
	}
	switch {
	case systemctl(ctx, "is-enabled", "--quiet", layout.UnitName) != nil:
		return changed, systemctl(ctx, "enable", layout.UnitName) // which reloads as well
	case changed:
		return true, systemctl(ctx, "daemon-reload")
	}
	return false, nil
}

// configureSets has nothing to start: the sets are there by the time they matter,
// at the next boot.
func (s *systemd) configureSets(ctx context.Context) error {
	changed, err := replaceIfDifferent(s.SetsUnit(), []byte(setsUnitText(s.Layout)), 0o644)
	if err != nil {
		return err
	}
	if to, err := os.Readlink(s.SetsWants()); err != nil || filepath.Base(to) != layout.SetsUnitName {
		return systemctl(ctx, "enable", layout.SetsUnitName)
	}
	if changed {
		return systemctl(ctx, "daemon-reload")
	}
	return nil
}

func (s *systemd) restart(ctx context.Context) error {
	return systemctl(ctx, "restart", layout.UnitName)
}

func (s *systemd) remove(ctx context.Context) error {
	var names []string
	for _, path := range []string{s.Unit(), s.SetsUnit()} {
		if _, err := os.Lstat(path); err == nil {
			names = append(names, filepath.Base(path))
		} else if err := ignoreMissing(err); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		return nil
	}
	if err := systemctl(ctx, append([]string{"disable", "--now", "--no-reload"}, names...)...); err != nil {
		return err
	}
	for _, path := range []string{s.Unit(), s.SetsUnit()} {
		if err := os.Remove(path); ignoreMissing(err) != nil {
			return err
		}
	}
	_ = systemctl(ctx, append([]string{"reset-failed"}, names...)...) // fails when there is nothing to reset
	return systemctl(ctx, "daemon-reload")
}

func (s *systemd) lastWords(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "journalctl", "--unit", layout.UnitName, "--lines", "20", "--no-pager", "--output", "cat").CombinedOutput()
	if err != nil {
		return "journalctl: " + err.Error()
	}
	return "The last lines of its journal:\n" + string(out)
}

// systemctlTimeout is longer than a unit's own stop timeout (90 s) would need
// to be: the agent ends within ShutdownGrace.
const systemctlTimeout = 60 * time.Second

func systemctl(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, systemctlTimeout)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}
