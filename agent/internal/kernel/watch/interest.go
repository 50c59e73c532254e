package watch

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// Interest is how changes of one kind of object show in the events of rtnetlink in one
// namespace.
type Interest struct {
	Group int      // RTNLGRP_…, which is subscribed to
	Types []uint16 // RTM_NEW… and RTM_DEL…
	// Ours says whether an event is about an object of ours. Nil where each is.
	Ours func(Event) bool
}

// Event is one message of rtnetlink.
type Event struct {
	nlmsg.Message
	Links Links
	// OurLink says that it is about a link of ours, or one that had its name until now.
	OurLink bool
}

// Links are the indexes of our links in a namespace, by name.
type Links map[string]uint32

// groups are those that interests need, each once.
func groups(interests []Interest) (groups []int) {
	for _, i := range interests {
		if !slices.Contains(groups, i.Group) {
			groups = append(groups, i.Group)
		}
	}
	return groups
}

// tells says whether a message tells of a change of something of ours.
func (e *events) tells(m nlmsg.Message, interests []Interest) bool {
	event := Event{Message: m, Links: e.links}
	if m.Type == unix.RTM_NEWLINK || m.Type == unix.RTM_DELLINK {
		event.OurLink = e.link(m)
	}
	return slices.ContainsFunc(interests, func(i Interest) bool {
		return slices.Contains(i.Types, m.Type) && (i.Ours == nil || i.Ours(event))
	})
}

// link says whether a message is of a link that is, or until now was, ours; and keeps its
// index.
func (e *events) link(m nlmsg.Message) bool {
	if len(m.Body) < unix.SizeofIfInfomsg {
		return false
	}
	index, name := nlmsg.Uint32(m.Body[4:]), ""
	for typ, value := range nlmsg.Attrs(m.Body[unix.SizeofIfInfomsg:]) {
		if typ == unix.IFLA_IFNAME {
			name = unix.ByteSliceToString(value)
		}
	}
	was := false
	for other, i := range e.links {
		if i == index {
			was = true
			delete(e.links, other)
		}
	}
	is := slices.Contains(e.names, name)
	if m.Type == unix.RTM_NEWLINK && is {
		e.links[name] = index
	}
	return was || is
}
