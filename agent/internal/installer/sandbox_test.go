package installer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
)

// makesMountNamespace are the settings of systemd.exec(5) with which
// exec_needs_mount_namespace (src/core/execute.c) gives a unit one of its own.
var makesMountNamespace = []string{
	"RootDirectory", "RootImage", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths",
	"BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem", "MountImages", "ExtensionImages", "ExtensionDirectories", "MountFlags",
	"PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateIPC", "ProtectSystem", "ProtectHome", "ProtectKernelTunables",
	"ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectProc", "ProcSubset", "LogNamespace",
	"DynamicUser", "RuntimeDirectory", "StateDirectory", "LoadCredential", "SetCredential", "PrivateUsers", "NetworkNamespacePath", "PrivateNetwork",
}

func settings(unit string) (names []string) {
	for line := range strings.Lines(unit) {
		if name, _, ok := strings.Cut(line, "="); ok {
			names = append(names, name)
		}
	}
	return names
}

// The namespace that the agent mounts must be the host's, and outlive the agent.
func TestUnit_NoMountNamespace(t *testing.T) {
	i, _, _ := newInstaller(t)
	for _, unit := range []string{unitText(i.Layout), setsUnitText(i.Layout)} {
		for _, name := range settings(unit) {
			if slices.Contains(makesMountNamespace, name) {
				t.Errorf("%s gives the unit a mount namespace of its own", name)
			}
		}
		if !strings.Contains(unit, sandbox) {
			t.Errorf("no sandbox:\n%s", unit)
		}
	}
}

// systemd takes both units as they are, and they are less exposed than without the sandbox.
func TestUnit_SystemdTakesIt(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal(err) // scripts/bootstrap.sh installs it
	}
	i, _, _ := newInstaller(t)
	agenttest.Must(t, os.MkdirAll(filepath.Dir(i.Link()), 0o755))
	agenttest.Must(t, os.WriteFile(i.Link(), nil, 0o755))
	for name, text := range map[string]string{"routingmesh-agent.service": unitText(i.Layout), "routingmesh-sets.service": setsUnitText(i.Layout)} {
		path := filepath.Join(t.TempDir(), name)
		agenttest.Must(t, os.WriteFile(path, []byte(text), 0o644))
		out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput()
		if mine := linesAbout(string(out), name); err != nil || mine != "" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		out, err = exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", path).CombinedOutput()
		if err != nil && strings.Contains(string(out), "unrecognized option") {
			continue // before systemd 250
		}
		_, overall, _ := strings.Cut(string(out), "exposure level for "+name+": ")
		var level float64
		if _, scanErr := fmt.Sscan(overall, &level); scanErr != nil || level > 6 {
			t.Errorf("%s: exposure %v, want 6 at most (9.6 without the sandbox): %v", name, level, err)
		}
	}
}

// linesAbout leaves out what systemd says of the units of this machine.
func linesAbout(out, name string) string {
	var mine []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, name) {
			mine = append(mine, line)
		}
	}
	return strings.Join(mine, "")
}
