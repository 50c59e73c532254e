package kernel

import (
	"context"
	"strings"

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
	return k.sysctls.Remove(k.host, old)
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
