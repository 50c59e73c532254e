package resolver

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
)

const (
	// resolvFresh is how long resolv.conf counts as unchanged without a look.
	resolvFresh = time.Second
	// avoidFor is how long a nameserver that did not answer is asked last.
	avoidFor = 10 * time.Second
	// deadAfter is how many failures in a row make a nameserver dead.
	deadAfter = 3
	dnsPort   = 53
)

// nameserver is one of the host's.
type nameserver struct {
	address netip.AddrPort

	mu     sync.Mutex
	failed int // in a row
	avoid  time.Time
}

func (s *nameserver) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed, s.avoid = 0, time.Time{}
}

func (s *nameserver) failedAt(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
	s.avoid = now.Add(avoidFor)
}

// avoided says that it is to be asked last. Once that is over, one query tries it, and the
// others go on avoiding it until that has an answer.
func (s *nameserver) avoided(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == 0 || now.Before(s.avoid) {
		return s.failed > 0
	}
	s.avoid = now.Add(avoidFor)
	return false
}

func (s *nameserver) dead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed >= deadAfter
}

// upstream is the nameservers of the host's resolv.conf.
type upstream struct {
	path string
	port uint16 // dnsPort but in tests
	now  func() time.Time

	mu      sync.Mutex
	looked  time.Time
	seen    host.Signature
	own     netip.Prefix // what is ours: a query there would come back
	listed  int          // nameservers in the file, ours included
	servers []*nameserver
}

// skip says which nameservers are ours.
func (u *upstream) skip(own netip.Prefix) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if own != u.own {
		u.own, u.looked, u.seen = own, time.Time{}, host.Signature{}
	}
}

// list is the nameservers in the order of the file, and how many of them the file has, ours
// included.
func (u *upstream) list() (servers []*nameserver, listed int) {
	now := u.now()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.read(now)
	return slices.Clone(u.servers), u.listed
}

// order lists the nameservers as they are to be asked: as the file has them, but those that
// have just failed last.
func (u *upstream) order() []*nameserver {
	var first, last []*nameserver
	servers, _ := u.list()
	for _, s := range servers {
		if s.avoided(u.now()) {
			last = append(last, s)
		} else {
			first = append(first, s)
		}
	}
	return append(first, last...)
}

// read takes in the file if it has changed. A nameserver that stays keeps its past.
func (u *upstream) read(now time.Time) {
	if !u.looked.IsZero() && now.Sub(u.looked) < resolvFresh {
		return
	}
	first := u.looked.IsZero()
	u.looked = now
	seen := host.SignatureOf(u.path)
	if !first && seen == u.seen {
		return
	}
	u.seen = seen
	content, _ := os.ReadFile(u.path) // one that cannot be read has none
	was := u.servers
	u.servers, u.listed = nil, 0
	for _, address := range host.ParseResolvers(string(content)) {
		u.listed++
		at := netip.AddrPortFrom(address, u.port)
		is := func(s *nameserver) bool { return s.address == at }
		if u.own.Contains(address) || slices.ContainsFunc(u.servers, is) {
			continue
		}
		if i := slices.IndexFunc(was, is); i >= 0 {
			u.servers = append(u.servers, was[i])
		} else {
			u.servers = append(u.servers, &nameserver{address: at})
		}
	}
}

// alive says that a nameserver answers, as far as is known; servers are all of them.
func (u *upstream) alive() (servers []*nameserver, listed int, alive bool) {
	servers, listed = u.list()
	return servers, listed, slices.ContainsFunc(servers, func(s *nameserver) bool { return !s.dead() })
}
