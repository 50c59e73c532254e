package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Stored is what a host keeps on disk: the record, and which of its nodes the
// host is ("" for one that only keeps it).
type Stored struct {
	Node   string       `json:"node"`
	Record *mesh.Record `json:"record"`
}

// generation and hash are those of the record, 0 and "" when there is none.
func (s Stored) generation() uint64 {
	if s.Record == nil {
		return 0
	}
	return s.Record.Generation
}

func (s Stored) hash() string {
	if s.Record == nil {
		return ""
	}
	return s.Record.Hash()
}

// parseStored reads the file's content and checks it as ParseRecord does.
func parseStored(data []byte) (Stored, error) {
	var raw struct {
		Node   string          `json:"node"`
		Record json.RawMessage `json:"record"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return Stored{}, fmt.Errorf("not valid JSON: %w", err)
	}
	rec, err := mesh.ParseRecord(raw.Record)
	if err != nil {
		return Stored{}, err
	}
	if raw.Node != "" && rec.Nodes[raw.Node] == nil {
		return Stored{}, fmt.Errorf("the host is node %q, which its record does not have", raw.Node)
	}
	return Stored{Node: raw.Node, Record: rec}, nil
}

// Store keeps record.json.
type Store struct{ path string }

// NewStore returns the store in dir, which must exist.
func NewStore(dir string) *Store { return &Store{path: filepath.Join(dir, "record.json")} }

// Load reads what is stored; without a file it is the zero Stored. A file that
// cannot be read as a record is moved aside to record.json.bad, so that the
// agent starts, and reported as the warning. The error is one of the disk.
func (s *Store) Load() (stored Stored, warning string, err error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Stored{}, "", nil
	}
	if err != nil {
		return Stored{}, "", fmt.Errorf("read the record: %w", err)
	}
	stored, invalid := parseStored(data)
	if invalid == nil {
		return stored, "", nil
	}
	bad := s.path + ".bad"
	if err := os.Rename(s.path, bad); err != nil {
		return Stored{}, "", fmt.Errorf("set an unreadable record aside: %w", err)
	}
	return Stored{}, fmt.Sprintf("The record on disk could not be read (%v). It was moved to %s; what the kernel has was left as it is. "+
		"The next commit of the cluster sends the whole record again: run terraform apply.", invalid, bad), nil
}

// Save replaces what is stored, durably: after a crash at any moment the file
// holds the old or the new record whole.
func (s *Store) Save(stored Stored) error {
	data, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("write the record as JSON: %w", err)
	}
	if err := host.WriteFile(s.path, data, 0o600); err != nil {
		return fmt.Errorf("keep the record: %w", err)
	}
	return nil
}
