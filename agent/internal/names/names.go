// Package names answers what the members of networks ask for by name: services, their
// aliases and containers, and the reverse. An asker is an address of this node: a slot sees
// the names of its service's networks, the host's processes those of their host's.
//
// It is pure. A Directory is what a record has of names; under the conditions of the moment
// it is a Table, which answers without a lock. Package resolver has the sockets.
package names

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// vipTTL is how long a name that leads to a VIP may be remembered, otherTTL everything
	// else, in seconds: containers come and go, and a name that is missing may be made next.
	vipTTL   = 30
	otherTTL = 1
	// tasks begins the names of a service's containers.
	tasks = "tasks"
	// private is the domain that clusters' are in; ICANN reserves it for private use.
	private = "internal"
	// root is the zone of names without a domain.
	root = "."
)

// Question is what somebody asks.
type Question struct {
	Name  string // in any case, with or without the final dot
	Type  dnsmessage.Type
	Asker netip.Addr
}

// Outcome is what a question comes to.
type Outcome uint8

const (
	// Found has Addresses or a Target, or asks for the zone's SOA.
	Found Outcome = iota
	// NoData is for a name that has nothing of the type. Some resolvers give a name up
	// that does not exist, so this is never NXDomain.
	NoData
	// NXDomain is for a name of ours that does not exist, for the asker.
	NXDomain
	// NotYet is for a name of other networks that is asked for from the host's address: a
	// container that has just started asks from there until it has its link.
	NotYet
	// Forward is for names that are not ours.
	Forward
	// Refused is for an address that is no member's.
	Refused
)

// Answer is the answer to a question. Its Addresses are shared and not to be changed.
type Answer struct {
	Outcome   Outcome
	TTL       uint32 // seconds
	Addresses []netip.Addr
	Target    string // of a PTR, with the final dot
	Zone      string // whose SOA goes with the answer, with the final dot
}

// Table answers questions under the conditions of one moment.
type Table struct {
	*Directory
	askers    map[netip.Addr]*view
	instances map[string]instances // by service
}

// Zone is the domain of the cluster, with the final dot.
func (d *Directory) Zone() string { return d.zone + "." }

// Serial is of the zone's SOA.
func (d *Directory) Serial() uint32 { return d.serial }

// Ask answers a question.
func (t *Table) Ask(q Question) Answer {
	v := t.askers[q.Asker]
	if v == nil {
		return Answer{Outcome: Refused}
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if r, ok := v.names[name]; ok { // also where a cluster's name makes it look like the domain
		return t.answer(r, q.Type, root)
	}
	if name == t.zone {
		return t.apex(q.Type)
	}
	if short, ok := strings.CutSuffix(name, "."+t.zone); ok {
		if r, ok := v.names[short]; ok {
			return t.answer(r, q.Type, t.Zone())
		}
		return t.missing(q.Asker, short, t.Zone())
	}
	if address, ok := reversed(name); ok && t.pool.Contains(address) {
		return t.reverse(v, address, q.Type)
	}
	single := name != "" && !strings.Contains(name, ".")
	if single || t.known[name] {
		return t.missing(q.Asker, name, root)
	}
	return Answer{Outcome: Forward}
}

// answer is that for a name which the asker has.
func (t *Table) answer(r ref, kind dnsmessage.Type, zone string) Answer {
	is := t.instances[r.service.Name]
	a := Answer{TTL: otherTTL, Zone: zone}
	switch {
	case kind != dnsmessage.TypeA && kind != dnsmessage.TypeALL:
	case r.tasks:
		a.Addresses = is.running
	case r.service.VIP.IsValid():
		a.Addresses, a.TTL = is.vip, vipTTL
	default:
		a.Addresses = is.ready
	}
	if len(a.Addresses) == 0 {
		a.Outcome = NoData
	}
	return a
}

// missing is the answer for a name of ours that the asker does not have.
func (t *Table) missing(asker netip.Addr, name, zone string) Answer {
	a := Answer{Outcome: NXDomain, TTL: otherTTL, Zone: zone}
	switch {
	case name == tasks || name == private && zone == root:
		a.Outcome = NoData // there are names below it
	case asker == t.host && t.known[name]:
		a.Outcome = NotYet
	}
	return a
}

func (t *Table) apex(kind dnsmessage.Type) Answer {
	a := Answer{Outcome: NoData, TTL: otherTTL, Zone: t.Zone()}
	if kind == dnsmessage.TypeSOA || kind == dnsmessage.TypeALL {
		a.Outcome = Found
	}
	return a
}

// reverse answers for an address of the pool, all of which are ours.
func (t *Table) reverse(v *view, address netip.Addr, kind dnsmessage.Type) Answer {
	a := Answer{Outcome: NXDomain, TTL: otherTTL, Zone: root}
	r, ok := t.addresses[address]
	if !ok || !v.services[r.service.Name] {
		return a
	}
	if a.Outcome = NoData; kind == dnsmessage.TypePTR || kind == dnsmessage.TypeALL {
		a.Outcome, a.Target = Found, r.service.Name+"."+t.Zone()
		if r.tasks {
			a.Target = tasks + "." + a.Target
		} else {
			a.TTL = vipTTL
		}
	}
	return a
}

// reversed is the address that a name such as 4.3.2.1.in-addr.arpa asks for.
func reversed(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(name, ".in-addr.arpa")
	if !ok {
		return netip.Addr{}, false
	}
	backwards, err := netip.ParseAddr(digits)
	if err != nil || !backwards.Is4() {
		return netip.Addr{}, false
	}
	b := backwards.As4()
	return netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}), true
}
