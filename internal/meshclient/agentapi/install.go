package agentapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

const (
	// installTimeout covers the upload and the agent's own wait until it
	// answers; an emulated host is slow at both.
	installTimeout = 3 * time.Minute
	// UninstallTimeout is how long Uninstall may take.
	UninstallTimeout = time.Minute
)

// installScript takes the gzipped agent on stdin, puts it where programs may run
// and where the agent may be installed (agent/internal/layout/place.go; /tmp is often mounted
// noexec, /usr read-only), and lets it install itself.
func installScript(bases ...string) string {
	return `umask 077; d=; ` +
		`for b in ` + strings.Join(bases, " ") + `; do d=$(mktemp -d $b/routingmesh.XXXXXX 2>/dev/null) || continue; p=$d/probe; ` +
		`if echo "#" >$p && chmod 700 $p && $p 2>/dev/null; then break; fi; rm -rf $d; d=; done; ` +
		`if [ -z "$d" ]; then echo "no program can be put and run in ` + strings.Join(bases, ", ") + ` (read-only, noexec or full)" >&2; exit 1; fi; ` +
		`a=$d/routingmesh-agent; gzip -dc >$a && chmod 700 $a && $a install; c=$?; rm -rf $d; exit $c`
}

// installBases are where agent/internal/layout/place.go installs, in its order.
var installBases = []string{"/usr/local/lib", "/opt", "/var/lib"}

// Install puts this provider's agent on the host and starts it.
func (c *Client) Install(ctx context.Context, ep *sshdial.Endpoint) error {
	_, err, _ := c.installs.Do(ep.Key(), func() (any, error) {
		ctx, cancel := c.Detach(ctx, installTimeout)
		defer cancel()
		return nil, c.installOnce(ctx, ep)
	})
	return err
}

func (c *Client) installOnce(ctx context.Context, ep *sshdial.Endpoint) error {
	conn, err := c.Pool.Get(ctx, ep, c.Patience)
	if err != nil {
		return err
	}
	uname, err := conn.Exec(ctx, "asking for the architecture", "uname -sm", nil)
	if err != nil {
		return agentError(err)
	}
	arch, err := architecture(uname)
	if err != nil {
		return fmt.Errorf("%s: %w", ep.Address(), err)
	}
	binary := c.Binaries.Get(arch)
	if binary.Err != nil {
		return binary.Err
	}
	c.Log(ctx, "installing the agent", map[string]any{"host": ep.Address(), "arch": arch, "sha256": binary.SHA256})
	_, err = conn.Exec(ctx, "installing the agent", installScript(installBases...), bytes.NewReader(binary.GZ))
	conn.HTTP().CloseIdleConnections() // they led to the agent that was replaced
	return agentError(err)
}

// Uninstall removes the agent and all it did; a host without one is fine.
func (c *Client) Uninstall(ctx context.Context, ep *sshdial.Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, UninstallTimeout)
	defer cancel()
	conn, err := c.Pool.Get(ctx, ep, min(ReadPatience, c.Patience))
	if err != nil {
		return err
	}
	c.Log(ctx, "uninstalling the agent", map[string]any{"host": ep.Address()})
	_, err = conn.Exec(ctx, "uninstalling the agent", agentScript("uninstall", agentDirs...), nil)
	conn.HTTP().CloseIdleConnections()
	if err = agentError(err); IsNoAgent(err) {
		return nil
	}
	return err
}

// architecture reads `uname -sm` and answers in Go's words.
func architecture(uname string) (string, error) {
	system, machine, _ := strings.Cut(strings.TrimSpace(uname), " ")
	arch := goArch(machine)
	if system != "Linux" || arch == "" {
		return "", fmt.Errorf("the host is %q: a node must be Linux on x86_64 or aarch64", strings.TrimSpace(uname))
	}
	return arch, nil
}

// goArch makes Go's word of the kernel's; "" for what there is no agent for.
func goArch(machine string) string {
	return map[string]string{"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[machine]
}

// Outdated says whether the agent is not this provider's, and not a newer one: that is
// used as it is. Where this build carries none, there is nothing to replace it with.
func (c *Client) Outdated(s *mesh.Status) bool {
	binary := c.Binaries.Get(goArch(s.Host.Arch))
	return s.API <= mesh.APIVersion && !newerThan(s.Version, c.Version) && binary.Err == nil && binary.SHA256 != s.BinarySHA256
}

// TooOld says that err is of an agent that cannot read its record, and is older than
// this provider's.
func (c *Client) TooOld(err error) bool {
	r, ok := errors.AsType[*mesh.Refusal](err)
	return ok && r.Code == mesh.Newer && newerThan(c.Version, r.Version)
}

// newerThan compares versions as 1.10.0 or v0.2.0-rc1. Of one that is not of that form
// nothing is known.
func newerThan(a, b string) bool {
	x, okA := versionOf(a)
	y, okB := versionOf(b)
	return okA && okB && slices.Compare(x, y) > 0
}

func versionOf(s string) ([]int, bool) {
	core, pre, isPre := strings.Cut(strings.TrimPrefix(s, "v"), "-")
	parts := strings.Split(core, ".")
	numbers := make([]int, 0, 4)
	for _, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		numbers = append(numbers, n)
	}
	last := 1
	if isPre && pre != "" {
		last = 0 // before the release
	}
	return append(numbers, last), len(parts) == 3
}

// Ready makes sure that the host runs this provider's agent: installs it where
// there is none, replaces another one, and one that has stopped. It tells
// whether there was none.
func (c *Client) Ready(ctx context.Context, ep *sshdial.Endpoint) (s *mesh.Status, installed bool, err error) {
	s, err = c.Status(ctx, ep, "", c.Patience)
	switch {
	case IsNoAgent(err):
		installed = true
	case c.TooOld(err):
		c.Log(ctx, "replacing an agent that cannot read its record", map[string]any{"host": ep.Address()})
	case s != nil && c.Outdated(s):
		c.Log(ctx, "replacing the agent", map[string]any{"host": ep.Address(), "from": s.Version})
	case IsDown(err):
		c.Log(ctx, "starting the agent again", map[string]any{"host": ep.Address()})
	default:
		return s, false, err
	}
	if err := c.Install(ctx, ep); err != nil {
		return nil, false, err
	}
	s, err = c.Status(ctx, ep, "", c.Patience)
	return s, installed, err
}
