// Package server is the agent's API over its unix socket, as types in
// internal/mesh/api.go: one record, one writer at a time, a commit in two steps.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Reconciler keeps the kernel as the record asks.
type Reconciler interface {
	// Announce says that rec will be the record, as the named node, before it is
	// saved: what drains from then on is kept first. An error is one of the disk. The
	// origin, nil if it is not known, saves a comparison of all ports.
	Announce(rec *mesh.Record, node string, origin *mesh.Origin) error
	// Commit applies rec as the named node ("" for none) and returns what the
	// kernel did not take.
	Commit(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem
	// Resume takes up the record that was there when the agent started.
	Resume(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem
	// RepairObjects repairs the objects, all without any, and returns what is left.
	RepairObjects(ctx context.Context, objects []mesh.Ref) []mesh.Problem
	// Status returns the last generation applied whole and what differs now.
	Status(ctx context.Context) (applied uint64, problems []mesh.Problem)
	// Repairs counts what was repaired because others had broken it.
	Repairs() uint64
	// Drains lists what drains, Draining counts it.
	Drains(ctx context.Context) (*mesh.Drains, error)
	Draining() int
	// Conditions are those that the kernel was last brought under.
	Conditions() compile.Conditions
}

// Front is the node's addresses for balancers and for Prometheus.
type Front interface {
	// Follow has them say from now on what rec asks of the named node.
	Follow(rec *mesh.Record, node string)
	// Problems is what keeps them from answering.
	Problems() []mesh.Problem
}

// Health is what this node's checks of endpoints have come to.
type Health interface {
	Results() map[compile.Check]health.Result
}

// Host answers for the host the agent runs on.
type Host interface {
	Facts() (mesh.HostFacts, error)
	// Preflight returns what speaks against next on this host, as the named node,
	// which may have current (nil for none) applied.
	Preflight(ctx context.Context, current, next *mesh.Record, node string) []mesh.Problem
}

// Limits of one call. A commit of 5,000 ports takes seconds; a program that
// waits for iptables' lock may hold it up.
const (
	maxBody        = 64 << 20 // bytes; a record of 5,000 ports × 10 endpoints has about 4 MiB
	headerTimeout  = 30 * time.Second
	bodyTimeout    = 2 * time.Minute  // that body over a slow SSH connection
	idleTimeout    = 10 * time.Minute // a dial-stdio that its provider keeps open
	commitTimeout  = 2 * time.Minute
	statusTimeout  = 30 * time.Second
	prepareTimeout = 30 * time.Second
)

// Options are what a Server works with.
type Options struct {
	Store      *Store
	Reconciler Reconciler
	Host       Host
	Inspector  Inspector
	// Health, Front and Metrics may be nil: then nobody is checked, there are no
	// addresses, and nobody measures.
	Health  Health
	Front   Front
	Metrics http.Handler
	// Warnings are those that tell what keeps traffic from flowing although the
	// kernel is as the record asks. Each answers at once, from what it knows.
	Warnings []func() []mesh.Warning
	// Slots lists the slots of containers; nil for none.
	Slots func() []mesh.Slot
	// SelfTest may be nil: then nothing is tested. Its warnings are among Warnings.
	SelfTest SelfTest
	Log      *slog.Logger
	// Version and BinarySHA256 are those of this executable.
	Version, BinarySHA256 string
	// Now is the clock that leases run by.
	Now func() time.Time
}

// Server holds the record and the writer's lease.
type Server struct {
	Options

	instance string // of this start: see mesh.Status

	// writing is held by prepare, commit and abort for their whole length: who
	// comes second sees what the first has left.
	writing sync.Mutex
	lease   lease
	newer   string // why the record on disk cannot be read by this version, "" if it can
	resumed bool   // the stored record has been handed to the reconciler

	reading sync.RWMutex // guards stored and warning, briefly
	stored  Stored
	warning string
}

// New returns a server of the record that the store holds.
func New(o Options) (*Server, error) {
	stored, warning, err := o.Store.Load()
	newer, isNewer := errors.AsType[*mesh.NewerError](err)
	if err != nil && !isNewer {
		return nil, err
	}
	if err := o.Store.loadPromise(); err != nil {
		return nil, err
	}
	if warning != "" {
		o.Log.Error(warning)
	}
	if o.Health == nil {
		o.Health = noHealth{}
	}
	if o.Front == nil {
		o.Front = noFront{}
	}
	s := &Server{Options: o, instance: rand.Text(), stored: stored, warning: warning}
	if isNewer {
		s.newer = fmt.Sprintf("This agent (version %s) cannot read the record that the host has, generation %d: %v. A newer version has written it. The record stays, "+
			"and so does what the kernel has: traffic goes on. Nothing is repaired or changed until a newer agent is installed, which an apply with a newer version of the provider does. "+
			"If no newer version was ever here, the file was damaged: move record.json away and restart the agent.",
			o.Version, newer.Generation, newer)
		o.Log.Error(s.newer)
	}
	return s, nil
}

type noHealth struct{}

func (noHealth) Results() map[compile.Check]health.Result { return nil }

type noFront struct{}

func (noFront) Follow(*mesh.Record, string) {}
func (noFront) Problems() []mesh.Problem    { return nil }

// Start applies the stored record, the authority after a restart. Without one
// it does nothing: a lost record must not take the node's traffic with it.
func (s *Server) Start(ctx context.Context) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.resume(ctx)
}

// resume is Start's part, once, before anything else is written: what a commit lets
// drain is what the node served until then.
func (s *Server) resume(ctx context.Context) {
	if s.resumed {
		return
	}
	s.resumed = true
	stored, _ := s.current()
	if stored.Record == nil {
		s.Log.Info("no record yet")
		return
	}
	s.Front.Follow(stored.Record, stored.Node)
	problems := s.Reconciler.Resume(ctx, stored.Record, stored.Node)
	s.logApplied(stored, problems)
}

// IsNode says whether the host is a node of the record.
func (s *Server) IsNode() bool {
	stored, _ := s.current()
	return stored.Node != ""
}

func (s *Server) logApplied(stored Stored, problems []mesh.Problem) {
	s.Log.Info("applied the record", "cluster", stored.Record.Cluster.Name, "node", stored.Node,
		"generation", stored.Record.Generation, "problems", len(problems))
	for _, p := range problems {
		s.Log.Error("not as the record asks", "object", p.Object.String(), "problem", p.Text)
	}
}

// Handler serves the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+mesh.PathStatus, s.status)
	mux.HandleFunc("POST "+mesh.PathPrepare, s.prepare)
	mux.HandleFunc("POST "+mesh.PathCommit, s.commit)
	mux.HandleFunc("POST "+mesh.PathAbort, s.abort)
	mux.HandleFunc("POST "+mesh.PathRepair, s.repair)
	mux.HandleFunc("POST "+mesh.PathProbe, s.probe)
	mux.HandleFunc("GET "+mesh.PathCounters, s.counters)
	mux.HandleFunc("GET "+mesh.PathDrains, s.drains)
	mux.HandleFunc("GET "+mesh.PathSlots, s.slots)
	if s.Metrics != nil {
		mux.Handle("GET "+mesh.PathMetrics, s.Metrics)
	}
	mux.HandleFunc("/", s.unknown)
	if s.newer != "" {
		return http.HandlerFunc(s.tooOld)
	}
	return mux
}

// tooOld answers everything with what the record needs. That is never "no record", which
// would have Terraform forget the cluster.
func (s *Server) tooOld(w http.ResponseWriter, _ *http.Request) {
	r := refused(mesh.Newer, "%s", s.newer)
	r.Version = s.Version
	s.refuse(w, r)
}

// HTTPServer serves Handler with this API's timeouts.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      2*commitTimeout + bodyTimeout, // it may wait for another's commit
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
}

// Current is the record on disk, and the node that this host is in it.
func (s *Server) Current() (*mesh.Record, string) {
	stored, _ := s.current()
	return stored.Record, stored.Node
}

func (s *Server) current() (stored Stored, warning string) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	return s.stored, s.warning
}

func (s *Server) replace(stored Stored) {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.stored, s.warning = stored, ""
}
