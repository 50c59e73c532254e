package health

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/wait"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// keptFile is what outlives the agent: who fails.
type keptFile struct {
	Failing []keptVerdict `json:"failing"`
}

type keptVerdict struct {
	Service string         `json:"service"`
	Address netip.AddrPort `json:"address"`
	Reason  string         `json:"reason"`
	Since   time.Time      `json:"since"`
}

// After it has written publish rests nine times as long, restMost at most: many
// verdicts that change one after the other are written together.
const (
	restTimes = 9
	restMost  = 100 * time.Millisecond
)

// publish writes verdicts that have changed, then tells of them: what anybody acts
// upon, the next agent knows.
func (c *Checker) publish(ctx context.Context) {
	for {
		select {
		case <-c.dirty:
		case <-ctx.Done():
			return
		}
		begun := time.Now()
		failing := c.failing()
		c.save(failing)
		if c.publishes(failing) {
			signal(c.changed)
		}
		if !wait.For(ctx, min(restTimes*time.Since(begun), restMost)) {
			return
		}
	}
}

// failing locks mu itself, as do publish, save and publishes.
func (c *Checker) failing() map[compile.Check]Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	failing := map[compile.Check]Result{}
	for check, t := range c.targets {
		if t.failing {
			failing[check] = t.result()
		}
	}
	return failing
}

func (c *Checker) publishes(failing map[compile.Check]Result) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	published := map[compile.Check]bool{}
	for check := range failing {
		if c.targets[check] != nil {
			published[check] = true
		}
	}
	changed = !maps.Equal(published, c.published)
	c.published = published
	return changed
}

func (c *Checker) save(failing map[compile.Check]Result) {
	if c.options.File == "" {
		return
	}
	err := host.WriteFile(c.options.File, formatKept(failing), 0o600)
	if err != nil {
		c.options.Log.Warn("cannot keep for the next agent which endpoints fail their checks", "file", c.options.File, "error", err)
	}
}

// load returns what an earlier agent has left, nothing where it cannot be read:
// then all pass until they have failed often enough.
func (c *Checker) load() map[compile.Check]Result {
	failing := map[compile.Check]Result{}
	if c.options.File == "" {
		return failing
	}
	data, err := os.ReadFile(c.options.File)
	if errors.Is(err, fs.ErrNotExist) {
		return failing
	}
	if err == nil {
		failing, err = parseKept(data)
	}
	if err != nil {
		c.options.Log.Warn("cannot read which endpoints failed their checks before; all pass until they fail again", "file", c.options.File, "error", err)
		return map[compile.Check]Result{}
	}
	return failing
}

func formatKept(failing map[compile.Check]Result) []byte {
	file := keptFile{Failing: []keptVerdict{}}
	for check, r := range failing {
		file.Failing = append(file.Failing, keptVerdict{check.Service, check.Addr, r.Reason, r.Since})
	}
	slices.SortFunc(file.Failing, func(a, b keptVerdict) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Address.Compare(b.Address))
	})
	data, err := json.Marshal(file)
	if err != nil {
		panic(err) // plain fields, and a time of this clock
	}
	return append(data, '\n')
}

// maxReason is longer than any reason of ours, in bytes.
const maxReason = 200

// parseKept reads what formatKept writes. The endpoints' names are the record's to
// tell.
func parseKept(data []byte) (map[compile.Check]Result, error) {
	var file keptFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	failing := map[compile.Check]Result{}
	for _, v := range file.Failing {
		if err := mesh.CheckName(v.Service); err != nil {
			return nil, err
		}
		if !v.Address.Addr().Is4() || v.Address.Port() == 0 {
			return nil, fmt.Errorf("%q is no address of an endpoint", v.Address)
		}
		if v.Reason == "" || len(v.Reason) > maxReason || !utf8.ValidString(v.Reason) || strings.ContainsFunc(v.Reason, isControl) {
			return nil, fmt.Errorf("%s fails without a reason", v.Address)
		}
		failing[compile.Check{Service: v.Service, Addr: v.Address}] = Result{Failing: true, Reason: v.Reason, Since: v.Since}
	}
	return failing, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
