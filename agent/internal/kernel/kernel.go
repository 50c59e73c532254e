// Package kernel observes and writes what is ours on this host: the objects of
// package state, in the host's network namespace and in the mesh's own.
//
// It never flushes and never touches what is not ours: our links and what is on
// them, table 10255 and its rule, sets and chains by the prefix of their names,
// and everything in the mesh's namespace, which is ours as a whole.
//
// What speaks to the kernel are the packages below this one, one for each of its
// tables (link, route, ipset, iptables, ipvs, conntrack, sysctl), and watch. They know
// namespaces and objects. This package has the handler of each kind, which finds for them
// the namespace and the link that an object needs, and says how the kind's changes are
// seen; the order of writes; and the one Kernel that the rest of the agent uses.
package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipset"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/sysctl"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Options say where and with what a Kernel works.
type Options struct {
	// Root is where run/netns and the configuration of sysctl are found; "" is "/". For tests.
	Root string
	// Originals is where the host's settings from before are kept.
	Originals Originals
}

// Kernel observes and writes what is ours on this host. Its methods may be
// called from several goroutines; they run one after the other.
type Kernel struct {
	mu        sync.Mutex
	netnsDir  string
	originals Originals
	sysctls   *sysctl.Settings
	programs  program.Runner
	host      *netns.Space
	mesh      *netns.Space // nil while the namespace is not there; see openMesh
	meshKnown bool         // mesh has been compared with the file, within this call
	sets      *ipset.Conn  // of the host's namespace
	meshSets  *ipset.Conn  // of mesh
	balancer  Balancer     // of mesh
	// mainRoutes are the destinations of our routes in the host's main table, as last
	// observed: one of them may be replaced by a route over another link.
	mainRoutes atomic.Pointer[map[netip.Prefix]bool]
	// forwarders are the links that were there before a host forwarded, for the mesh
	// alone: see Forwarding. Nil where it forwards for others.
	forwarders atomic.Pointer[map[string]bool]
}

// New returns a Kernel for the network namespace that the calling thread is in.
func New(opts Options) (*Kernel, error) {
	if opts.Originals == nil {
		return nil, errors.New("kernel: Options.Originals is nil")
	}
	version, err := kernelVersion()
	if err != nil {
		return nil, err
	}
	ns, err := netns.Current()
	if err != nil {
		return nil, fmt.Errorf("open this network namespace: %w", err)
	}
	host, err := netns.NewSpace(ns)
	if err != nil {
		return nil, err
	}
	sets, err := ipset.Open(ns, state.Host)
	if err != nil {
		return nil, errors.Join(err, host.Close())
	}
	k := &Kernel{
		netnsDir:  filepath.Join("/", opts.Root, "run/netns"),
		originals: opts.Originals,
		host:      host,
		sets:      sets,
	}
	k.sysctls = sysctl.New(opts.Originals, filepath.Join("/", opts.Root), version, k.loadForSysctl)
	return k, nil
}

// Close gives back the sockets.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sets.Close()
	return errors.Join(k.closeMesh(), k.host.Close())
}

// Execs is how many programs have been run so far.
func (k *Kernel) Execs() int { return k.programs.Runs() }

func kernelVersion() (state.KernelVersion, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return state.KernelVersion{}, fmt.Errorf("uname: %w", err)
	}
	return state.ParseKernelVersion(unix.ByteSliceToString(u.Release[:])), nil
}
