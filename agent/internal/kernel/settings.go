package kernel

import (
	"context"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipvs"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/sysctl"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Originals keeps what the host was like before.
type Originals = sysctl.Originals

var sysctlHandler = newHandler((*Kernel).observeSysctls, (*Kernel).putSysctl, (*Kernel).removeSysctl).toldBy(sysctlEvents)

// sysctlEvents: the kernel tells of few settings, of forwarding among them.
func sysctlEvents(_ *Kernel, ns state.NS) (watch.Interest, bool) {
	i := watch.Interest{Group: unix.RTNLGRP_IPV4_NETCONF, Types: []uint16{unix.RTM_NEWNETCONF}}
	if ns == state.Mesh {
		i.Types = append(i.Types, unix.RTM_DELNETCONF)
		return i, true
	}
	i.Ours = func(e watch.Event) bool {
		of := sysctl.NetconfLink(e.Body)
		return of == sysctl.AllLinks || of != 0 && of == e.Links[state.HostLink]
	}
	return i, true
}

// Forwarding says whether the host forwards for the mesh alone. The watch tells from then on
// when a link comes that may change it.
func (k *Kernel) Forwarding() (now state.Forwarding, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var known map[string]bool
	err = k.host.Do(func() error {
		if now, err = k.sysctls.Forwarding(); err != nil || !now.OnlyMesh {
			return err
		}
		names, err := sysctl.ForwardingKinds()
		known = map[string]bool{}
		for _, name := range names {
			known[name] = true
		}
		return err
	})
	k.forwarders.Store(&known)
	return now, err
}

// newForwarder says that a link has come for which the host may have to forward, and did
// not until now.
func (k *Kernel) newForwarder(e watch.Event) bool {
	known := k.forwarders.Load()
	if known == nil || *known == nil || e.Type != unix.RTM_NEWLINK || len(e.Body) < unix.SizeofIfInfomsg {
		return false
	}
	l, err := netlink.LinkDeserialize(nil, e.Body)
	return err == nil && sysctl.NeedsForwarding(l) && !(*known)[l.Attrs().Name]
}

func (k *Kernel) observeSysctls(_ context.Context, r *view) error {
	return k.sysctls.Observe(r.space, r.ns, r.links, r.into)
}

func (k *Kernel) putSysctl(ctx context.Context, _ state.Object, want state.Sysctl) error {
	s, err := k.needSpace(want.NS)
	if link := sysctl.LinkOf(want.Name); err == nil && link != "" {
		_, _, err = k.needLink(want.NS, link)
	}
	if err != nil {
		return err
	}
	return k.sysctls.Put(ctx, s, want)
}

func (k *Kernel) removeSysctl(_ context.Context, old state.Sysctl) error {
	mesh, err := k.openMesh()
	if err != nil {
		return err
	}
	return k.sysctls.Remove(k.host, mesh, old)
}

// loadForSysctl loads the module that a setting comes with.
func (k *Kernel) loadForSysctl(ctx context.Context, name string) (err error) {
	switch {
	case strings.HasPrefix(name, "net.ipv4.vs."):
		return ipvs.LoadModule(ctx, &k.programs)
	case strings.HasPrefix(name, state.ConntrackPrefix):
		_, err = k.programs.Run(ctx, "", "modprobe", "nf_conntrack")
	}
	return err
}

// absent is kept of what was not there before us.
const absent = "absent"

func (k *Kernel) claimed(name string) bool {
	_, ok := k.originals.Get(name)
	return ok
}
