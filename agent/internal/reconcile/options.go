package reconcile

import (
	"context"
	"log/slog"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Kernel is what a pass needs of package kernel.
type Kernel interface {
	// Differences plans what turns the kernel into what is desired; with
	// kernel.Traffic the chains are passed over.
	Differences(ctx context.Context, scope kernel.Scope, desired state.State) ([]state.Op, error)
	// ObservePart reads some objects of the kinds that kernel.InPart says, and all
	// destinations of their services.
	ObservePart(ctx context.Context, objects state.State) (state.State, error)
	Apply(ctx context.Context, ops []state.Op) []kernel.OpError
	// Loads counts the connections of the destinations, by the key of each; one
	// that is not in it is not in the kernel.
	Loads(ctx context.Context) (map[state.Key]kernel.Load, error)
	// Forwarding says whether the host forwards for the mesh alone.
	Forwarding() (state.Forwarding, error)
}

// Watch is what kernel.Watch sees between passes.
type Watch interface {
	// Wake gets a value when something may have changed, Pending says whether
	// that is still news.
	Wake() <-chan struct{}
	Pending() bool
	// Cover says that an observation of the scope begins.
	Cover(scope kernel.Scope)
	// ChainsUntouched is false unless the chains are surely those of the last
	// observation of all.
	ChainsUntouched() bool
	// ChainsCertain is ChainsUntouched where that cannot be deceived.
	ChainsCertain() bool
	// Untouched is false unless nothing of ours has changed since the last
	// observation of all, as far as anything tells; Own says that these ops were
	// done since, and is false when something else was as well.
	Untouched() bool
	Own(ops []state.Op) bool
}

// File is a file of the agent's own that is repaired like kernel state.
type File interface {
	// Check says how the file is, cheaply: its Fault is "" when it is right, or
	// when it is none of this agent's business at the moment.
	Check() state.OwnFile
	// Repair makes it right.
	Repair(ctx context.Context) error
}

// Told is something of the host's that is told what the record asks, and then looked after
// like a file: what it was told may be forgotten at any time.
type Told interface {
	File
	// Keep has it want what rec asks of the named node.
	Keep(rec *mesh.Record, node string)
	// Leave takes back all that it was told, and says how much that was.
	Leave(ctx context.Context) (removed int, err error)
}

// Firewall is a service of the host's that is told what to let through.
type Firewall interface {
	Told
	// Flushes counts how often it may have flushed what is not its own: what was
	// repaired since the last time was taken by the firewall, which is not against us.
	Flushes() uint64
}

// Options are what a Reconciler works with.
type Options struct {
	Kernel  Kernel
	Version state.KernelVersion
	Log     *slog.Logger
	// Watch may be nil: then what others break is found on the slow timer only.
	Watch Watch
	// Files are looked after once there is a record.
	Files []File
	// Firewall may be nil: then there is none to be told anything.
	Firewall Firewall
	// HostsFile may be nil: then the host's processes find no names.
	HostsFile Told
	// Memory outlives the process; the zero value keeps nothing.
	Memory Memory
	// Hash is for who knows a record's already, which is what costs most of a small
	// commit; nil is the record's own Hash.
	Hash func(*mesh.Record) string
	// Health may be nil: then nobody is checked.
	Health Health
	// Slots may be nil: then no slot is ever filled.
	Slots Slots
	// Names may be nil: then nobody asks for names.
	Names Names
	// Drains is the path of the file that keeps what drains, "" keeps nothing.
	Drains string
}

// Names answers the members of networks.
type Names interface {
	// Follow has it answer by what the kernel was brought to. It is called after every pass,
	// and once before the first.
	Follow(rec *mesh.Record, node string, now compile.Conditions)
}

// noNames answers nobody.
type noNames struct{}

func (noNames) Follow(*mesh.Record, string, compile.Conditions) {}

// nobody has nothing to be told.
type nobody struct{}

func (nobody) Check() state.OwnFile               { return state.OwnFile{} }
func (nobody) Repair(context.Context) error       { return nil }
func (nobody) Keep(*mesh.Record, string)          {}
func (nobody) Leave(context.Context) (int, error) { return 0, nil }

// noFirewall is nobody.
type noFirewall struct{ nobody }

func (noFirewall) Flushes() uint64 { return 0 }

// noWatch never sees anything.
type noWatch struct{}

func (noWatch) Wake() <-chan struct{} { return nil }
func (noWatch) Pending() bool         { return false }
func (noWatch) Cover(kernel.Scope)    {}
func (noWatch) ChainsUntouched() bool { return false }
func (noWatch) ChainsCertain() bool   { return false }
func (noWatch) Untouched() bool       { return false }
func (noWatch) Own([]state.Op) bool   { return false }
