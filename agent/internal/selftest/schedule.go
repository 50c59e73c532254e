package selftest

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// How often a port is tested. A test is a SYN, and up to two more when no answer
// comes.
const (
	// testInterval is the time between the beginnings of two tests, freshInterval that
	// between two while there are ports that were never tested.
	testInterval  = time.Second
	freshInterval = 200 * time.Millisecond
	// roundInterval is how often one port is tested at most, while all pass.
	roundInterval = 5 * time.Second
	// failAfter tests in a row that fail count, passAfter that pass.
	failAfter = 3
	passAfter = 2
	// maxSuspects bounds what is remembered of failed tests.
	maxSuspects = 16
	// quietHere is how long no test may have passed before all traffic counts as
	// failing, where a packet gets lost on this host. quietThere is that where it gets
	// lost beyond: by chance several may go to one endpoint of many.
	quietHere  = 20 * time.Second
	quietThere = time.Minute
)

// place is where a packet was last seen.
type place uint8

const (
	nowhere      place = iota // it has not left the host for the mesh
	untranslated              // it was led elsewhere than to the mesh
	hostLink                  // on the way from the host to the mesh's namespace
	sent                      // it went to an endpoint, and nothing came back
	back                      // the answer came to the mesh, not to the host
	out                       // the answer came to the host, not to the client
	unknown                   // conntrack could not be asked
)

// outcome is what one test has come to.
type outcome struct {
	passed bool
	at     place
	// to is the endpoint that IPVS chose, where it was looked for: see place sent.
	to netip.AddrPort
	// rejected is what came in place of an answer, "" for silence.
	rejected string
}

// suspect is a port that fails. A port with many endpoints may fail through one.
type suspect struct {
	port  mesh.PortKey
	to    netip.AddrPort // the zero value where the packet does not get so far
	fails int            // in a row
	// passes in a row, once it fails.
	passes  int
	failing bool
	last    outcome
}

type suspectKey struct {
	port mesh.PortKey
	to   netip.AddrPort
}

// schedule says which port is tested when, and what the tests come to.
type schedule struct {
	rec   *mesh.Record
	node  string
	ports []mesh.PortKey // sorted
	next  int
	fresh []mesh.PortKey // not tested yet

	suspects map[suspectKey]*suspect
	asked    suspectKey // of the suspects the one that was tested last
	turn     int        // counts tests, see take

	last     time.Time // when the last test began
	ended    int       // how many have come to a result
	lastPass time.Time // when one passed last, or the first one began
	failed   int       // tests in a row
}

// keep makes the ports those that are open by rec. A port that is as it was keeps
// what is known of it.
func (s *schedule) keep(rec *mesh.Record, node string) {
	if rec == s.rec && node == s.node {
		return
	}
	old := s.rec
	if node != s.node || rec == nil || old == nil || rec.Nodes[node] == nil || old.Nodes[node] == nil || rec.Nodes[node].Block != old.Nodes[node].Block {
		*s = schedule{suspects: map[suspectKey]*suspect{}}
		old = nil
	}
	s.rec, s.node = rec, node
	s.ports = nil
	if rec == nil || rec.Nodes[node] == nil {
		return
	}
	waiting := s.fresh
	s.fresh = nil
	for key, p := range rec.Ports {
		if key.Protocol != mesh.TCP || !compile.Opens(rec, node, p) {
			continue
		}
		s.ports = append(s.ports, key)
		if !same(old, rec, key) || slices.Contains(waiting, key) {
			s.fresh = append(s.fresh, key)
		}
	}
	slices.SortFunc(s.ports, mesh.PortKey.Compare)
	slices.SortFunc(s.fresh, mesh.PortKey.Compare)
	maps.DeleteFunc(s.suspects, func(k suspectKey, _ *suspect) bool {
		return rec.Ports[k.port] == nil || slices.Contains(s.fresh, k.port)
	})
}

// same says that the port leads where it did.
func same(old, rec *mesh.Record, key mesh.PortKey) bool {
	if old == nil || old.Ports[key] == nil || *old.Ports[key] != *rec.Ports[key] {
		return false
	}
	was, is := old.Services[old.Ports[key].Service], rec.Services[rec.Ports[key].Service]
	return was == is || was != nil && is != nil && maps.EqualFunc(was.Endpoints, is.Endpoints, func(a, b mesh.Endpoint) bool {
		return a.SameAs(b)
	})
}

// due is when the next test may begin; false when there is nothing to test.
func (s *schedule) due() (time.Time, bool) {
	n := time.Duration(len(s.ports))
	switch {
	case n == 0:
		return time.Time{}, false
	case len(s.fresh) > 0:
		return s.last.Add(freshInterval), true
	case len(s.suspects) > 0:
		return s.last.Add(testInterval), true
	}
	return s.last.Add(max(testInterval, roundInterval/n)), true
}

// take is the port whose test begins now: one that was never tested, else a
// suspect and one of the others by turns.
func (s *schedule) take(now time.Time) mesh.PortKey {
	s.last = now
	if s.lastPass.IsZero() {
		s.lastPass = now
	}
	if len(s.fresh) > 0 {
		key := s.fresh[0]
		s.fresh = s.fresh[1:]
		return key
	}
	if s.turn++; s.turn%2 == 1 && len(s.suspects) > 0 {
		return s.nextSuspect().port
	}
	key := s.ports[s.next%len(s.ports)]
	s.next = (s.next + 1) % len(s.ports)
	return key
}

// nextSuspect is by turns one that is nearly known to fail, so that many ports at
// once do not hold each other up, and one of all in the order of their keys.
func (s *schedule) nextSuspect() suspectKey {
	var likely *suspectKey
	keys := slices.SortedFunc(maps.Keys(s.suspects), suspectKey.compare)
	for i, k := range keys {
		if f := s.suspects[k]; !f.failing && (likely == nil || f.fails > s.suspects[*likely].fails) {
			likely = &keys[i]
		}
	}
	if likely != nil && s.turn%4 == 1 {
		return *likely
	}
	next := slices.IndexFunc(keys, func(k suspectKey) bool { return k.compare(s.asked) > 0 })
	s.asked = keys[max(0, next)]
	return s.asked
}

func (k suspectKey) compare(o suspectKey) int {
	return cmp.Or(k.port.Compare(o.port), k.to.Compare(o.to))
}

// suspected says that a test of the port has failed lately: then it matters to
// which endpoint one that passes went.
func (s *schedule) suspected(key mesh.PortKey) bool {
	for k := range s.suspects {
		if k.port == key {
			return true
		}
	}
	return false
}

// leads forgets what is known of endpoints that the port does not lead to at the
// moment: they have left, or fail their checks.
func (s *schedule) leads(key mesh.PortKey, to []netip.AddrPort) {
	maps.DeleteFunc(s.suspects, func(k suspectKey, _ *suspect) bool {
		return k.port == key && (len(to) == 0 || k.to.IsValid() && !slices.Contains(to, k.to))
	})
}

// note takes what a test of the port has come to.
func (s *schedule) note(key mesh.PortKey, o outcome, now time.Time) {
	s.ended++
	if o.passed {
		s.lastPass, s.failed = now, 0
		s.pass(key, o.to)
		return
	}
	s.failed++
	k := suspectKey{port: key}
	if o.at == sent {
		k.to = o.to
	}
	found := s.suspects[k]
	if found == nil {
		if len(s.suspects) >= maxSuspects {
			return
		}
		found = &suspect{port: key, to: k.to}
		s.suspects[k] = found
	}
	found.fails++
	found.passes, found.last = 0, o
	found.failing = found.failing || found.fails >= failAfter
}

// pass clears what speaks against the port, as far as the test has gone the same
// way.
func (s *schedule) pass(key mesh.PortKey, to netip.AddrPort) {
	for k, found := range s.suspects {
		if k.port != key || k.to.IsValid() && k.to != to {
			continue
		}
		found.fails = 0
		if found.passes++; !found.failing || found.passes >= passAfter {
			delete(s.suspects, k)
		}
	}
}

// failing lists what fails, sorted, and says whether nothing passes.
func (s *schedule) failing(now time.Time) (failing []suspect, all bool) {
	for _, k := range slices.SortedFunc(maps.Keys(s.suspects), suspectKey.compare) {
		if s.suspects[k].failing {
			failing = append(failing, *s.suspects[k])
		}
	}
	quiet := quietHere
	for _, f := range failing {
		if f.last.at == sent {
			quiet = quietThere
		}
	}
	return failing, len(failing) > 0 && s.failed >= failAfter && now.Sub(s.lastPass) >= quiet
}
