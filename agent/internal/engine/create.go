package engine

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What Docker's API calls a container that is to be made, of version 1.24 to 1.41.
type (
	wireSpec struct {
		Image       string
		Entrypoint  []string          `json:",omitempty"`
		Cmd         []string          `json:",omitempty"`
		Env         []string          `json:",omitempty"`
		User        string            `json:",omitempty"`
		WorkingDir  string            `json:",omitempty"`
		Labels      map[string]string `json:",omitempty"`
		StopSignal  string            `json:",omitempty"`
		StopTimeout int
		Healthcheck *wireHealthCheck `json:",omitempty"`
		HostConfig  wireHost
	}
	// wireHealthCheck has its times in nanoseconds, 0 for the image's or the engine's own.
	wireHealthCheck struct {
		Test                           []string
		Interval, Timeout, StartPeriod int64
		Retries                        int
	}
	wireHost struct {
		Mounts         []wireMount `json:",omitempty"`
		NanoCpus       int64       `json:",omitempty"`
		Memory         int64       `json:",omitempty"`
		PidsLimit      int64       `json:",omitempty"`
		RestartPolicy  wireRestart
		CapAdd         []string          `json:",omitempty"`
		CapDrop        []string          `json:",omitempty"`
		ReadonlyRootfs bool              `json:",omitempty"`
		Sysctls        map[string]string `json:",omitempty"`
		LogConfig      *wireLog          `json:",omitempty"`
		DNS            []string          `json:"Dns,omitempty"`
	}
	wireMount struct {
		Type     string
		Source   string `json:",omitempty"`
		Target   string
		ReadOnly bool `json:",omitempty"`
	}
	wireRestart struct{ Name string }
	wireLog     struct {
		Type   string
		Config map[string]string `json:",omitempty"`
	}
)

// defaultGrace is that of a task that names none, in seconds.
const defaultGrace = 10

// Create makes a container of a task, which asks dns for names: if that is not valid, its engine's. The name is a lock: IsTaken tells an error of one that is
// there. The engine starts it never by itself: the agent does.
func (c *Control) Create(ctx context.Context, name string, t *mesh.Task, labels map[string]string, dns netip.Addr) error {
	err := c.do(ctx, changeTime, http.MethodPost, "/containers/create", url.Values{"name": {name}}, nil, specOf(t, labels, dns), func(r io.Reader) error {
		var answer struct {
			ID string `json:"Id"`
		}
		return decode(io.LimitReader(r, maxInspect), &answer)
	})
	if r, ok := errors.AsType[*Refused](err); ok {
		return &Refused{r.Status, withoutValues(r.text, t.Env)}
	}
	return err
}

// withoutValues is an engine's text that quotes no value of a variable: one may be a secret.
func withoutValues(text string, env map[string]string) string {
	for _, value := range env {
		if len(value) >= 4 {
			text = strings.ReplaceAll(text, value, "…")
		}
	}
	return text
}

func specOf(t *mesh.Task, labels map[string]string, dns netip.Addr) wireSpec {
	spec := wireSpec{
		Image: t.Image, Entrypoint: t.Entrypoint, Cmd: t.Command, User: t.User, WorkingDir: t.WorkDir,
		Labels: map[string]string{}, StopSignal: t.StopSignal, StopTimeout: defaultGrace,
		HostConfig: wireHost{
			NanoCpus: t.Limits.MilliCPUs * 1e6, Memory: t.Limits.MemoryBytes, PidsLimit: t.Limits.PIDs,
			RestartPolicy: wireRestart{"no"}, CapAdd: t.CapAdd, CapDrop: t.CapDrop, ReadonlyRootfs: t.ReadOnly, Sysctls: t.Sysctls,
		},
	}
	maps.Copy(spec.Labels, t.Labels)
	maps.Copy(spec.Labels, labels)
	if t.StopGraceSeconds != nil {
		spec.StopTimeout = *t.StopGraceSeconds
	}
	for _, key := range slices.Sorted(maps.Keys(t.Env)) {
		spec.Env = append(spec.Env, key+"="+t.Env[key])
	}
	for _, m := range t.Mounts {
		spec.HostConfig.Mounts = append(spec.HostConfig.Mounts, wireMount{m.Type, m.Source, m.Target, m.ReadOnly})
	}
	if t.LogDriver != "" || len(t.LogOptions) > 0 {
		spec.HostConfig.LogConfig = &wireLog{t.LogDriver, t.LogOptions}
	}
	if dns.IsValid() {
		spec.HostConfig.DNS = []string{dns.String()}
	}
	if h := t.HealthCheck; h != nil {
		const second = 1e9
		spec.Healthcheck = &wireHealthCheck{h.Test, int64(h.IntervalSeconds) * second, int64(h.TimeoutSeconds) * second, int64(h.StartPeriodSeconds) * second, h.Retries}
	}
	return spec
}
