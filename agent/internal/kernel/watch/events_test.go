package watch

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// Whatever comes from a descriptor, an event is taken or left; and all of it is
// read.
func FuzzEvents(f *testing.F) {
	f.Add([]byte{16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{40, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 32, 0, 0, 254, 2, 0, 1, 0, 0, 0, 0}, 12, 0, 1, 0, 10, 255, 0, 1))
	f.Add(append(make([]byte, 12), 16, 0, 0, 0, 'r', 'o', 'u', 't', 'i', 'n', 'g', 'm', 'e', 's', 'h', 0, 0, 0, 0, 0))
	f.Fuzz(func(_ *testing.T, b []byte) {
		w := &Watch{options: Options{File: "/run/netns/routingmesh"}, wake: make(chan struct{}, 1)}
		e := &events{watch: w, names: []string{"rmesh0"}, links: Links{}, closed: true}
		for m := range nlmsg.Messages(b) {
			e.tells(m, []Interest{{Types: []uint16{unix.RTM_NEWLINK}, Ours: func(e Event) bool { return e.OurLink }}})
		}
		w.folderEvents(e, b)
		select {
		case <-w.wake:
		default:
		}
	})
}

// linkMessage is an event of a link.
func linkMessage(typ uint16, index uint32, name string) nlmsg.Message {
	b := &nlmsg.Batch{}
	b.Message(typ, 0, make([]byte, unix.SizeofIfInfomsg)...)
	b.AttrText(unix.IFLA_IFNAME, name)
	body := b.Bytes()[unix.SizeofNlMsghdr:]
	native.PutUint32(body[4:], index)
	return nlmsg.Message{Type: typ, Body: body}
}

// A link of ours is known by its index, until another has its name or it has another.
func TestEvents_LinkOfOurs(t *testing.T) {
	t.Parallel()
	e := &events{names: []string{"rmesh0"}, links: Links{}}
	ours := []Interest{{Types: []uint16{unix.RTM_NEWLINK, unix.RTM_DELLINK}, Ours: func(e Event) bool { return e.OurLink }}}
	for _, tt := range []struct {
		typ   uint16
		index uint32
		name  string
		ours  bool
		known uint32 // of rmesh0
	}{
		{unix.RTM_NEWLINK, 7, "eth0", false, 0},
		{unix.RTM_NEWLINK, 8, "rmesh0", true, 8},
		{unix.RTM_NEWLINK, 8, "renamed", true, 0}, // until now it was
		{unix.RTM_NEWLINK, 8, "renamed", false, 0},
		{unix.RTM_NEWLINK, 9, "rmesh0", true, 9},
		{unix.RTM_DELLINK, 9, "rmesh0", true, 0},
	} {
		if got := e.tells(linkMessage(tt.typ, tt.index, tt.name), ours); got != tt.ours || e.links["rmesh0"] != tt.known {
			t.Errorf("%+v: tells of ours: %t, index %d", tt, got, e.links["rmesh0"])
		}
	}
	if e.tells(nlmsg.Message{Type: unix.RTM_NEWADDR}, ours) {
		t.Error("an event of a type that nobody is interested in tells of something")
	}
}
