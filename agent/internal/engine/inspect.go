package engine

import (
	"context"
	"io"
)

// details are what an engine tells of a container that its list does not.
type details struct {
	running     bool
	pid         int
	startedAt   string // in the engine's own form: another text is another start
	hostNetwork bool
}

const maxPID = 1 << 22 // PID_MAX_LIMIT of a 64-bit kernel

func (c *client) inspect(ctx context.Context, v apiVersion, id string) (d details, err error) {
	err = c.get(ctx, "/v"+v.String()+"/containers/"+id+"/json", nil, maxInspect, func(r io.Reader) (err error) {
		d, err = parseInspect(r)
		return err
	})
	return d, err
}

func parseInspect(r io.Reader) (details, error) {
	var answer struct {
		State struct {
			Running, Paused bool
			Pid             int64
			StartedAt       string
		}
		HostConfig struct{ NetworkMode string }
	}
	if err := decode(r, &answer); err != nil {
		return details{}, err
	}
	state := answer.State
	d := details{
		running: state.Running || state.Paused, startedAt: short(state.StartedAt),
		hostNetwork: answer.HostConfig.NetworkMode == "host",
	}
	// It has no process while it restarts. PID 1 is the host's own.
	if d.running && state.Pid > 1 && state.Pid <= maxPID {
		d.pid = int(state.Pid)
	}
	return d, nil
}
