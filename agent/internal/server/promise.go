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

// Promise is what has been promised to writers, on disk before they hear of it.
func (s *Store) Promise() mesh.Promise {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.promise
}

// Keep writes the promise, durably.
func (s *Store) Keep(p mesh.Promise) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p == s.promise {
		return nil
	}
	data, err := json.Marshal(p)
	if err == nil {
		err = host.WriteFile(s.promisePath(), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the promise: %w", err)
	}
	s.promise = p
	return nil
}

func (s *Store) promisePath() string { return filepath.Join(filepath.Dir(s.path), "promise.json") }

// damagedLead is by how much promises may exceed the generation on disk: each is of
// a writer that prepared and then died or gave up.
const damagedLead = 1 << 16

// loadPromise reads what was promised before the agent was started. A file that
// cannot be read was damaged, for it is replaced whole. Then more is taken for
// promised than can have been: writers go on from there.
func (s *Store) loadPromise() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := os.ReadFile(s.promisePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what was promised to writers: %w", err)
	}
	if json.Unmarshal(data, &s.promise) != nil {
		s.promise = mesh.Promise{Generation: s.stored.generation() + damagedLead}
	}
	return nil
}
