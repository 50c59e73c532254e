package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"sync"
)

// Originals keeps in a file what the host was like before the mesh came: its
// kernel settings, and what was absent; so that it can be put back even by
// another process after a crash.
type Originals struct {
	path string

	mu     sync.Mutex
	values map[string]string
}

type originalsFile struct {
	Before map[string]string `json:"before"`
}

// OpenOriginals reads path, which need not exist. A file that is no JSON is
// moved aside to path.bad: its values are lost, which must not keep the mesh
// from running.
func OpenOriginals(path string, log *slog.Logger) (*Originals, error) {
	o := &Originals{path: path, values: map[string]string{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the host's settings from before: %w", err)
	}
	var file originalsFile
	if err := json.Unmarshal(data, &file); err != nil {
		log.Error("the host's settings from before cannot be read and will not be put back", "file", path+".bad", "error", err)
		return o, os.Rename(path, path+".bad")
	}
	maps.Copy(o.values, file.Before)
	return o, nil
}

// Get returns what the setting was, false if the mesh has not changed it.
func (o *Originals) Get(name string) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, ok := o.values[name]
	return v, ok
}

// Set keeps a setting's value, on disk when it returns. One that is kept already
// needs no disk.
func (o *Originals) Set(name, value string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have, ok := o.values[name]; ok && have == value {
		return nil
	}
	next := maps.Clone(o.values)
	next[name] = value
	return o.save(next)
}

// Delete forgets a setting that has been put back.
func (o *Originals) Delete(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := maps.Clone(o.values)
	delete(next, name)
	return o.save(next)
}

func (o *Originals) save(next map[string]string) error {
	data, err := json.Marshal(originalsFile{Before: next})
	if err != nil {
		return err
	}
	if err := WriteFile(o.path, data, 0o600); err != nil {
		return fmt.Errorf("keep the host's settings from before: %w", err)
	}
	o.values = next
	return nil
}
