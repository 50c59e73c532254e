package selftest

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// tests runs a schedule, with what becomes of each test.
type tests struct {
	schedule
	began []time.Time
	ports map[mesh.PortKey]int
	fate  func(key mesh.PortKey) outcome
}

func newTests(rec *mesh.Record) *tests {
	s := &tests{schedule: schedule{suspects: map[suspectKey]*suspect{}}, fate: func(mesh.PortKey) outcome { return outcome{passed: true} }}
	s.keep(rec, "n0")
	return s
}

func (s *tests) run(d time.Duration) {
	s.began, s.ports = nil, map[mesh.PortKey]int{}
	for end := time.Now().Add(d); time.Now().Before(end); {
		due, ok := s.due()
		if !ok {
			return
		}
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		key := s.take(time.Now())
		s.began = append(s.began, time.Now())
		s.ports[key]++
		o := s.fate(key)
		if !o.passed {
			time.Sleep(synTries * synWait)
		}
		s.note(key, o, time.Now())
	}
}

func port(n int) mesh.PortKey { return mesh.PortKey{Port: uint16(10000 + n), Protocol: mesh.TCP} }

func TestSchedule_Rate_IsBounded(t *testing.T) {
	for _, ports := range []int{1, 3, 5000} {
		t.Run(fmt.Sprint(ports), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTests(record(t, 100, ports))
				s.run(freshInterval * time.Duration(ports))
				if len(s.ports) != ports || len(s.fresh) != 0 {
					t.Fatalf("the first round tested %d of %d ports", len(s.ports), ports)
				}
				const minutes = 10
				s.run(minutes * time.Minute)
				if most := maxPerSecond(s.began); most > 1 {
					t.Errorf("%d tests in one second", most)
				}
				if want := minutes * 60 / 5 * min(ports, 5); len(s.began) > want+1 {
					t.Errorf("%d tests in %d minutes, want %d at most", len(s.began), minutes, want)
				}
				for key, n := range s.ports {
					if n > minutes*60/5+1 {
						t.Errorf("%s was tested %d times", key, n)
					}
				}
			})
		})
	}
}

// A commit that changes one port has that one tested first, and the others go on.
func TestSchedule_ChangedPort_IsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t, 3, 100)
		s := newTests(rec)
		s.run(time.Minute)
		next := rec.Clone()
		next.Ports[port(70)].Target = 81
		s.keep(next, "n0")
		if len(s.fresh) != 1 || s.take(time.Now()) != port(70) {
			t.Errorf("first come %v", s.fresh)
		}
		if n := s.next; n == 0 {
			t.Error("the round begins again")
		}
		s.keep(nil, "")
		if _, ok := s.due(); ok {
			t.Error("something is due without a record")
		}
	})
}

func TestSchedule_Failing_HasHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTests(record(t, 3, 20))
		s.run(time.Minute)
		fails := 0
		s.fate = func(key mesh.PortKey) outcome {
			if key == port(7) {
				if fails++; fails%3 != 0 {
					return outcome{at: nowhere}
				}
			}
			return outcome{passed: true}
		}
		s.run(5 * time.Minute)
		if failing, _ := s.failing(time.Now()); len(failing) != 0 {
			t.Fatalf("what fails twice of three times fails: %+v", failing)
		}
		s.fate = func(key mesh.PortKey) outcome { return outcome{passed: key != port(7), at: nowhere} }
		s.run(time.Minute)
		if failing, all := s.failing(time.Now()); len(failing) != 1 || failing[0].port != port(7) || all {
			t.Fatalf("%+v, all %t", failing, all)
		}
		s.fate = func(mesh.PortKey) outcome { return outcome{passed: true} }
		s.run(10 * time.Second)
		if failing, _ := s.failing(time.Now()); len(failing) != 0 {
			t.Errorf("what passes fails: %+v", failing)
		}
	})
}

// Of a port with two endpoints one gets no packet through: every second test
// passes, and the port fails all the same, until its endpoint is gone.
func TestSchedule_OneEndpointOfTwo_Fails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTests(record(t, 3, 20))
		s.run(time.Minute)
		good, bad := netip.MustParseAddrPort("10.0.1.2:80"), netip.MustParseAddrPort("10.0.2.2:80")
		turn := false
		s.fate = func(key mesh.PortKey) outcome {
			if key != port(7) {
				return outcome{passed: true}
			}
			if turn = !turn; turn {
				return outcome{passed: true, to: good}
			}
			return outcome{at: sent, to: bad}
		}
		s.run(2 * time.Minute)
		failing, all := s.failing(time.Now())
		if len(failing) != 1 || failing[0].to != bad || all {
			t.Fatalf("%+v, all %t", failing, all)
		}
		s.leads(port(7), []netip.AddrPort{good})
		if failing, _ := s.failing(time.Now()); len(failing) != 0 {
			t.Errorf("an endpoint that is gone fails: %+v", failing)
		}
	})
}

// All traffic is concerned when nothing passes any more, not by chance of the
// endpoints that a few tests went to.
func TestSchedule_Nothing_Passes(t *testing.T) {
	for at, within := range map[place]time.Duration{nowhere: 30 * time.Second, sent: 70 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newTests(record(t, 3, 500))
			s.run(2 * time.Minute)
			s.fate = func(mesh.PortKey) outcome { return outcome{at: at, to: netip.MustParseAddrPort("10.0.2.2:80")} }
			s.run(8 * time.Second)
			if _, all := s.failing(time.Now()); all {
				t.Error("too soon")
			}
			s.run(within)
			if failing, all := s.failing(time.Now()); !all || len(failing) == 0 {
				t.Errorf("%d fail, all %t", len(failing), all)
			}
			s.run(20 * time.Minute)
			if len(s.suspects) > maxSuspects {
				t.Errorf("%d suspects are remembered", len(s.suspects))
			}
			s.fate = func(mesh.PortKey) outcome {
				return outcome{passed: true, to: netip.MustParseAddrPort("10.0.2.2:80")}
			}
			s.run(time.Second)
			if _, all := s.failing(time.Now()); all {
				t.Error("one test has passed, and all traffic is concerned")
			}
			s.run(2 * time.Minute)
			if failing, _ := s.failing(time.Now()); len(failing) != 0 {
				t.Errorf("%d fail when all passes", len(failing))
			}
		})
	}
}
