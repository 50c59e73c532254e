package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Inspector looks at what the mesh does on this host, and changes nothing.
type Inspector interface {
	// Probe tries the overlay from the named node of rec ("" for none) to the
	// peers, all others when there are none.
	Probe(ctx context.Context, rec *mesh.Record, node string, peers []string) (*mesh.ProbeResponse, error)
	// Servers reads the IPVS services with their counters.
	Servers(ctx context.Context) ([]kernel.Server, error)
}

const (
	probeTimeout    = 20 * time.Second // a probe waits for those before it
	countersTimeout = 30 * time.Second
)

func (s *Server) probe(w http.ResponseWriter, req *http.Request) {
	var body mesh.ProbeRequest
	if err := decode(w, req, &body); err != nil {
		s.refuse(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), probeTimeout)
	defer cancel()
	stored, _ := s.current()
	resp, err := s.Inspector.Probe(ctx, stored.Record, stored.Node, body.Peers)
	if err != nil {
		s.refuse(w, failed(http.StatusInternalServerError, "The agent could not try the overlay: %v.", err))
		return
	}
	s.answer(w, resp)
}

func (s *Server) slots(w http.ResponseWriter, _ *http.Request) {
	slots := []mesh.Slot{}
	if s.Slots != nil {
		slots = s.Slots()
	}
	s.answer(w, mesh.Slots{Slots: slots})
}

func (s *Server) counters(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), countersTimeout)
	defer cancel()
	c, err := s.Counters(ctx)
	if err != nil {
		s.refuse(w, failed(http.StatusInternalServerError, "The agent could not read the mesh's counters: %v.", err))
		return
	}
	s.answer(w, c)
}

// Counters is what the kernel has counted on this node, in the record's names.
func (s *Server) Counters(ctx context.Context) (mesh.Counters, error) {
	servers, err := s.Inspector.Servers(ctx)
	if err != nil {
		return mesh.Counters{}, err
	}
	draining, err := s.Reconciler.Drains(ctx)
	if err != nil {
		return mesh.Counters{}, fmt.Errorf("count the connections of what drains: %w", err)
	}
	stored, _ := s.current()
	c := countersOf(stored.Record, stored.Node, servers)
	nameDraining(&c, draining.Drains)
	nameUnhealthy(&c, stored.Record, verdictsOf(stored, s.Health.Results(), s.Reconciler.Conditions()))
	return c, nil
}

func (s *Server) drains(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), countersTimeout)
	defer cancel()
	draining, err := s.Reconciler.Drains(ctx)
	if err != nil {
		s.refuse(w, failed(http.StatusInternalServerError, "The agent could not count the connections of what drains: %v.", err))
		return
	}
	s.answer(w, draining)
}

// countersOf gives the servers of a node the names of the record. A server at
// another address than a VIP is not ours to tell about.
func countersOf(rec *mesh.Record, node string, servers []kernel.Server) mesh.Counters {
	c := mesh.Counters{Ports: []mesh.PortCounters{}}
	if rec == nil || rec.Nodes[node] == nil {
		return c
	}
	self := rec.Nodes[node]
	for _, server := range servers {
		key, ok := self.PortKeyAt(server.Proto, server.Addr)
		if !ok {
			continue
		}
		names := compile.EndpointNames(rec, node, compile.Published(key))
		port := mesh.PortCounters{Port: key, Traffic: server.Traffic, Endpoints: []mesh.EndpointCounters{}}
		for _, d := range server.Destinations {
			port.Endpoints = append(port.Endpoints, mesh.EndpointCounters{
				Endpoint: names[d.Addr], Address: d.Addr, Weight: d.Weight,
				Active: d.Active, Inactive: d.Inactive, Traffic: d.Traffic,
			})
		}
		c.Ports = append(c.Ports, port)
	}
	return c
}

// Read returns what is stored without touching it, for who only looks; the zero
// Stored when there is nothing. The error says why a file is no record.
func (s *Store) Read() (Stored, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Stored{}, nil
	}
	if err != nil {
		return Stored{}, fmt.Errorf("read the record: %w", err)
	}
	return parseStored(data)
}
