package state

import (
	"cmp"
	"slices"
	"strings"
)

// Action is what an Op does.
type Action uint8

const (
	// Add makes an object that is not there.
	Add Action = iota
	// Change makes an object that is there (Old) as asked (New), in place.
	Change
	// Remove takes away an object that is not asked for.
	Remove
)

func (a Action) String() string { return [...]string{"add", "change", "remove"}[a] }

// Op is one write to the kernel.
type Op struct {
	Action Action
	Old    Object // nil with Add
	New    Object // nil with Remove
}

// Object is what the op is about: the new version, or the old one of a Remove.
func (o Op) Object() Object {
	if o.New != nil {
		return o.New
	}
	return o.Old
}

func (o Op) String() string { return o.Action.String() + " " + o.Object().String() }

// Sentence says what the op would repair.
func (o Op) Sentence() string {
	switch o.Action {
	case Add:
		return o.New.Missing()
	case Remove:
		return o.Old.Extra()
	}
	return o.New.Differs(o.Old)
}

// Plan lists what turns observed into desired. Removals of what lets traffic in
// (set members) come first, then all additions and changes in the order of
// kinds, then the other removals in reverse: a port is closed before its
// service goes, a new destination serves before an old one is taken away, or loses
// its weight. What lets a port in goes only after what takes its place in another set, or at
// other addresses: the port is open all the time. What members of networks may reach is
// known before the chains that ask for it, and until after them (isKnown).
func Plan(desired, observed State) []Op {
	var closing, building, quiescing, removing []*keyed
	observed = align(desired, observed)
	replaced := replacements(desired, observed)
	for k, old := range observed {
		if _, wanted := desired[k]; wanted {
			continue
		}
		op := &keyed{k, Op{Action: Remove, Old: old}}
		switch m, member := old.(SetMember); {
		case member && m.isKnown():
			removing = append(removing, op)
		case member && replaced.has(m):
			quiescing = append(quiescing, op)
		case member:
			closing = append(closing, op)
		default:
			removing = append(removing, op)
		}
	}
	if len(observed) == 0 {
		building = make([]*keyed, 0, len(desired))
	}
	for k, want := range desired {
		switch have, ok := observed[k]; {
		case !ok:
			building = append(building, &keyed{k, Op{Action: Add, New: want}})
		case have == want:
		case quiesces(have, want):
			quiescing = append(quiescing, &keyed{k, Op{Action: Change, Old: have, New: want}})
		default:
			building = append(building, &keyed{k, Op{Action: Change, Old: have, New: want}})
		}
	}
	compare := func(a, b *keyed) int { return compareKeys(&a.key, &b.key) }
	slices.SortFunc(closing, compare)
	slices.SortFunc(building, compare)
	slices.SortFunc(quiescing, compare)
	slices.SortFunc(removing, func(a, b *keyed) int { return compare(b, a) })
	var ops []Op
	for _, part := range [][]*keyed{closing, building, quiescing, removing} {
		ops = slices.Grow(ops, len(part))
		for _, o := range part {
			ops = append(ops, o.op)
		}
	}
	return ops
}

// keyed spares the sorting of thousands of ops asking each one for its key again
// and again.
type keyed struct {
	key Key
	op  Op
}

// added are the ports that get members of sets.
type added struct {
	single map[uint16]bool
	ranges []SetMember
}

func replacements(desired, observed State) added {
	all := added{single: map[uint16]bool{}}
	for k, want := range desired {
		switch m, ok := want.(SetMember); {
		case !ok || m.Port == 0 || observed[k] != nil:
		case m.Last != 0:
			all.ranges = append(all.ranges, m)
		default:
			all.single[m.Port] = true
		}
	}
	return all
}

// has says that some of the ports of m get a member.
func (a added) has(m SetMember) bool {
	return a.single[m.Port] || slices.ContainsFunc(a.ranges, func(r SetMember) bool { return r.Port <= m.last() && m.Port <= r.last() })
}

// quiesces says that a destination loses its weight: it then gets no new connections. Or
// that a chain loses rules, and nothing else, which led traffic in until now.
func quiesces(have, want Object) bool {
	switch is := want.(type) {
	case RealServer:
		was, _ := have.(RealServer)
		return is.Weight == 0 && was.Weight > 0
	case Chain:
		was, _ := have.(Chain)
		return loses(was, is)
	}
	return false
}

// loses says that the chain is the other one without some of its rules by address.
func loses(was, is Chain) bool {
	if !strings.Contains(was.Rules, listenPrefix) {
		return false
	}
	rest := strings.Split(was.Rules, "\n")
	for rule := range strings.SplitSeq(is.Rules, "\n") {
		i := slices.Index(rest, rule)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	was.Rules = is.Rules
	return was == is
}

// compareKeys looks at the next field only where all before it are equal.
func compareKeys(a, b *Key) int {
	if c := cmp.Compare(a.rank(), b.rank()); c != 0 {
		return c
	}
	if c := cmp.Compare(a.NS, b.NS); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Network, b.Network); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Family, b.Family); c != 0 {
		return c
	}
	if c := compareRoutes(a, b); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	if c := a.A.Compare(b.A); c != 0 {
		return c
	}
	if c := a.B.Compare(b.B); c != 0 {
		return c
	}
	return cmp.Compare(a.Sub, b.Sub)
}

// rank is the place of the object among all kinds: that of its kind, but that members which
// chains ask for come right after the sets.
func (k *Key) rank() int {
	if k.Kind == KindSetMember && known(k.NS, k.Name) {
		return 2*int(KindSet) + 1
	}
	return 2 * int(k.Kind)
}

// compareRoutes puts the narrower route first: the kernel takes a route via a
// gateway only when there is a route to the gateway.
func compareRoutes(a, b *Key) int {
	if a.Kind != KindRoute || b.Kind != KindRoute {
		return 0
	}
	return cmp.Compare(b.A.Port(), a.A.Port()) // the prefix length, see Route.Key
}
