// Package kernel observes and writes what is ours on this host: the objects of
// package state, in the host's network namespace and in the mesh's own.
//
// It never flushes and never touches what is not ours: our links and what is on
// them, table 10255 and its rule, sets and chains by the prefix of their names,
// and everything in the mesh's namespace, which is ours as a whole.
//
// Links, routes, neighbours, sets and IPVS are written through netlink, one
// message each. Only chains need a program (iptables-save, iptables-restore), so
// that it works with both of its kinds, legacy and nf_tables; ops on chains that
// stand together go in one run.
package kernel

import (
	"context"
	"errors"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Originals keeps what the host's own kernel settings were before they were
// changed. What is in it is claimed: it is observed, and put back by a Remove.
type Originals interface {
	Get(name string) (value string, ok bool)
	Set(name, value string) error
	Delete(name string) error
}

// Options say where and with what a Kernel works.
type Options struct {
	// Root is where run/netns is found; "" is "/". For tests.
	Root string
	// Originals is where the host's settings from before are kept.
	Originals Originals
}

// Scope says how much to observe.
type Scope uint8

const (
	// Full is everything.
	Full Scope = iota
	// Traffic is everything but chains: it runs no program. Plan with a desired
	// state without chains then.
	Traffic
)

// OpError is an op that could not be done.
type OpError struct {
	Op  state.Op
	Err error
}

func (e OpError) Error() string { return e.Err.Error() }
func (e OpError) Unwrap() error { return e.Err }

// Kernel observes and writes what is ours on this host. Its methods may be
// called from several goroutines; they run one after the other.
type Kernel struct {
}

// New returns a Kernel for the network namespace that the calling thread is in.
func New(opts Options) (*Kernel, error) { return nil, errors.ErrUnsupported }

// Close gives back the sockets.
func (k *Kernel) Close() error { return nil }

// Execs is how many programs have been run so far.
func (k *Kernel) Execs() int { return 0 }

// Observe returns every object of ours in the kernel, wanted or not.
func (k *Kernel) Observe(ctx context.Context, scope Scope) (state.State, error) {
	return nil, errors.ErrUnsupported
}

// Apply does the ops in order, and goes on after one that fails.
//
// An op may take others with it: a link that has to be made anew loses its
// addresses, routes, neighbours and settings. The caller observes and plans
// again until the plan is empty, a bounded number of times.
func (k *Kernel) Apply(ctx context.Context, ops []state.Op) []OpError { return nil }

// Missing is something that this host lacks.
type Missing struct {
	What string // "kernel module ip_vs"
	Why  string // what for, and what the kernel said
	Fix  string // "apt install …"
}

// Requirements tries what the mesh needs, in a namespace that is thrown away,
// and reports what this host lacks.
func Requirements(ctx context.Context) []Missing { return nil }
