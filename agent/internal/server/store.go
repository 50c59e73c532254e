package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Stored is what a host keeps on disk: the record, and which of its nodes the
// host is ("" for one that only keeps it).
type Stored struct {
	Node   string       `json:"node"`
	Record *mesh.Record `json:"record"`

	sum string // the record's hash, which is too dear for every status
	// encoded is the record as JSON, and origin the change that it was sent as (nil for
	// a whole record), between its prepare and its commit.
	encoded []byte
	origin  *mesh.Origin
}

// generation and hash are those of the record, 0 and "" when there is none.
func (s Stored) generation() uint64 {
	if s.Record == nil {
		return 0
	}
	return s.Record.Generation
}

func (s Stored) hash() string { return s.sum }

// encode is what json.Marshal makes of s, with the record's JSON as it is where
// that has been written already.
func (s Stored) encode() ([]byte, error) {
	if s.encoded == nil {
		return json.Marshal(s)
	}
	node, err := json.Marshal(s.Node)
	return slices.Concat([]byte(`{"node":`), node, []byte(`,"record":`), s.encoded, []byte(`}`)), err
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
	return Stored{Node: raw.Node, Record: rec, sum: rec.Hash()}, nil
}

// Store keeps record.json. What it has loaded or saved is what the file must
// hold: it is a reconcile.File, so that one that is lost or changed while the
// agent runs is written again.
type Store struct {
	path string

	mu     sync.Mutex
	stored Stored // of the file
	sum    [sha256.Size]byte
	seen   host.Signature // of a file that was right

	promise mesh.Promise // see promise.go
}

// NewStore returns the store in dir, which must exist.
func NewStore(dir string) *Store { return &Store{path: filepath.Join(dir, "record.json")} }

// Load reads what is stored; without a file it is the zero Stored. A file that
// cannot be read as a record is moved aside to record.json.bad, so that the
// agent starts, and reported as the warning. The error is one of the disk, or a
// *mesh.NewerError: that record stays where it is.
func (s *Store) Load() (stored Stored, warning string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := host.SignatureOf(s.path)
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Stored{}, "", nil
	}
	if err != nil {
		return Stored{}, "", fmt.Errorf("read the record: %w", err)
	}
	stored, invalid := parseStored(data)
	if invalid == nil {
		s.stored, s.sum, s.seen = stored, sha256.Sum256(data), seen
		return stored, "", nil
	}
	if newer, ok := errors.AsType[*mesh.NewerError](invalid); ok {
		return Stored{}, "", newer
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
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.save(stored)
}

func (s *Store) save(stored Stored) error {
	data, err := stored.encode()
	if err != nil {
		return fmt.Errorf("write the record as JSON: %w", err)
	}
	stored.encoded = nil
	if err := host.WriteFile(s.path, data, 0o600); err != nil {
		return fmt.Errorf("keep the record: %w", err)
	}
	s.stored, s.sum, s.seen = stored, sha256.Sum256(data), host.SignatureOf(s.path)
	return nil
}

// Hash is the record's, without computing it where it is the one that is stored.
func (s *Store) Hash(rec *mesh.Record) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored.Record == rec && s.stored.sum != "" {
		return s.stored.sum
	}
	return rec.Hash()
}

// Check implements reconcile.File. The file is read only when it may have
// changed.
func (s *Store) Check() state.OwnFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return state.OwnFile{What: "record", Path: s.path, Fault: s.fault()}
}

func (s *Store) fault() string {
	if s.stored.Record == nil {
		return ""
	}
	seen := host.SignatureOf(s.path)
	if seen == s.seen {
		return ""
	}
	data, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing, so that the node would have no ports after its next boot"
	case err != nil:
		return fmt.Sprintf("cannot be read (%v), so that the node would have no ports after its next boot", err)
	case sha256.Sum256(data) != s.sum:
		return "is not what the agent has written, so that the node would have other ports, or none, after its next boot"
	}
	s.seen = seen
	return ""
}

// Repair implements reconcile.File.
func (s *Store) Repair(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault() == "" {
		return nil
	}
	return s.save(s.stored)
}
