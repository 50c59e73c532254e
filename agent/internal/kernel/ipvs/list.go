package ipvs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Sink takes what List finds.
type Sink interface {
	Virtual(v state.VirtualServer)
	Destination(r state.RealServer)
}

// keep is a Sink that keeps all.
type keep struct{ state.State }

func (k keep) Virtual(v state.VirtualServer)  { k.Put(v) }
func (k keep) Destination(r state.RealServer) { k.Put(r) }

// List shows every service and destination that there is, and puts the timeouts. Which services there are is netlink's to say; their
// destinations come from /proc, or by netlink for those that /proc passes over.
func (c *Conn) List(ctx context.Context, into state.State, many Sink) error {
	if there, err := c.kernelHas(); err != nil || !there {
		return err // without IPVS there are no servers
	}
	if err := c.listTimeouts(ctx, into); err != nil {
		return err
	}
	l, err := c.listServices(ctx)
	if err != nil {
		return err
	}
	if len(l.servers) > 0 {
		if err := c.space.Do(func() error { return readDestinations(l.service, func(r listed) { l.dest(many, r.RealServer) }) }); err != nil {
			return err
		}
	}
	for i := range l.servers {
		s := &l.servers[i]
		if !s.seen {
			if s.seen, err = c.listDestinations(ctx, s, many); err != nil {
				return err
			}
		}
		if s.seen {
			many.Virtual(s.whole())
		}
	}
	return nil
}

// ListOnly puts these services, where they are there, each with all its destinations.
func (c *Conn) ListOnly(ctx context.Context, into state.State, servers []state.VirtualServer) error {
	if there, err := c.kernelHas(); err != nil || !there {
		return err
	}
	for _, named := range servers {
		v, there, err := c.service(ctx, named)
		if err != nil {
			return fmt.Errorf("read IPVS service %s/%s: %w", named.Addr, named.Proto, err)
		}
		s := listing{VirtualServer: v}
		if there {
			there, err = c.listDestinations(ctx, &s, keep{into})
		}
		if err != nil {
			return err
		}
		if there {
			into.Put(s.whole())
		}
	}
	return nil
}

// listings is what is there of all services.
type listings struct {
	servers []listing
	index   map[serverName]int
	at      *listing // the one whose destinations are read
}

// listing is one service, and the order of its destinations where that counts.
type listing struct {
	state.VirtualServer
	seen  bool // its destinations have been read
	order []netip.AddrPort
}

type serverName struct {
	udp  bool
	addr netip.AddrPort
}

func (c *Conn) listServices(ctx context.Context) (*listings, error) {
	var services []*moby.Service
	err := c.do(ctx, func(h *moby.Handle) (err error) {
		services, err = h.GetServices()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list IPVS services: %w", err)
	}
	l := &listings{servers: make([]listing, 0, len(services)), index: make(map[serverName]int, len(services))}
	for _, s := range services {
		if isOurs(s) {
			v := virtualOf(s)
			l.index[serverName{v.Proto == "udp", v.Addr}] = len(l.servers)
			l.servers = append(l.servers, listing{VirtualServer: v})
		}
	}
	return l, nil
}

// service and dest take what readDestinations shows. A service that is there since
// the list was made is not in it.
func (l *listings) service(proto string, addr netip.AddrPort) {
	l.at = nil
	if i, known := l.index[serverName{proto == "udp", addr}]; known {
		l.at = &l.servers[i]
		l.at.seen = true
	}
}

func (l *listings) dest(many Sink, r state.RealServer) {
	if l.at != nil {
		l.at.dest(many, r)
	}
}

func (s *listing) dest(many Sink, r state.RealServer) {
	many.Destination(r)
	if hashes(s.Scheduler) {
		s.order = append(s.order, r.Addr)
	}
}

// whole is the service with what is wrong with its destinations' order.
func (s *listing) whole() state.VirtualServer {
	v := s.VirtualServer
	v.Fault = cmp.Or(v.Fault, orderFault(v, s.order))
	return v
}

// listDestinations asks for those of one service; false where it has gone meanwhile.
func (c *Conn) listDestinations(ctx context.Context, s *listing, many Sink) (there bool, err error) {
	dests, err := c.destinations(ctx, serviceOf(s.VirtualServer))
	if errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("list destinations of %s: %w", s.VirtualServer, err)
	}
	for _, d := range dests {
		s.dest(many, realOf(s.VirtualServer, d))
	}
	return true, nil
}

// service asks for one by its address; there is false when there is none.
func (c *Conn) service(ctx context.Context, named state.VirtualServer) (v state.VirtualServer, there bool, err error) {
	err = c.do(ctx, func(h *moby.Handle) error {
		s, err := h.GetService(serviceOf(named))
		if there = err == nil && isOurs(s); there {
			v = virtualOf(s)
		}
		return err
	})
	return v, there, nlmsg.Ignore(err, unix.ESRCH)
}
