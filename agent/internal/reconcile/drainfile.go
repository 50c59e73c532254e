package reconcile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// drainFile keeps what drains, and until when, for the next agent. There is none
// while nothing drains.
type drainFile struct {
	path string
	has  []byte // nil where there is no file, or an unknown one
}

type drainsOnDisk struct {
	Drains []drain `json:"drains"`
}

// load returns what an earlier agent has kept. A file that cannot be read is as
// none: what drained is then removed at once, like anything that is not asked for.
func (f *drainFile) load(log *slog.Logger) drainSet {
	if f.path == "" {
		return drainSet{}
	}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return drainSet{}
	}
	kept := drainSet{}
	if err == nil {
		kept, err = parseDrains(data)
	}
	f.has = append([]byte{}, data...)
	if err != nil {
		log.Warn("cannot read what an earlier agent let drain: its connections end now", "file", f.path, "error", err)
		return drainSet{}
	}
	return kept
}

// parseDrains reads what save writes; all of it or nothing.
func parseDrains(data []byte) (drainSet, error) {
	var file drainsOnDisk
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	kept := drainSet{}
	for _, d := range file.Drains {
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("the drain of %s from %s: %w", d.Address, d.Port, err)
		}
		kept.put(d)
	}
	return kept, nil
}

func (d drain) check() error {
	switch {
	case d.VIP && d.Port == (mesh.PortKey{}): // every port
	case d.Port.Port == 0 || d.Port.Protocol != mesh.TCP:
		return errors.New("only tcp ports drain")
	}
	switch {
	case !d.Address.Addr().Is4(): // a destination of many ports has the port 0
		return errors.New("its address is no IPv4 address with a port")
	case d.TimeoutSeconds <= 0 || d.TimeoutSeconds > int(maxDrain.Seconds()):
		return fmt.Errorf("its timeout must be 1–%d s, not %d", int(maxDrain.Seconds()), d.TimeoutSeconds)
	}
	return errors.Join(mesh.CheckName(d.Service), mesh.CheckName(d.Node))
}

// maxDrain is the longest that a service may have.
const maxDrain = 24 * time.Hour

// save makes the file hold these, durably; it does nothing where it does.
func (f *drainFile) save(these drainSet) error {
	if f.path == "" {
		return nil
	}
	if len(these) == 0 {
		if f.has == nil {
			return nil
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget what has drained: %w", err)
		}
		f.has = nil
		return nil
	}
	var file drainsOnDisk
	for _, d := range these.sorted() {
		d.Deadline = d.Deadline.UTC().Truncate(time.Second)
		file.Drains = append(file.Drains, d)
	}
	data, err := json.Marshal(file)
	if err != nil || bytes.Equal(data, f.has) {
		return err
	}
	if err := host.WriteFile(f.path, data, 0o600); err != nil {
		return fmt.Errorf("keep what drains: %w", err)
	}
	f.has = data
	return nil
}
