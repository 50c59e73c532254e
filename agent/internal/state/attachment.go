package state

import (
	"fmt"
	"net/netip"
	"strings"
)

// Attachment is the link between the mesh's namespace and that of a container: a veth pair.
// The container's end has the address of a slot, and what leads its answers back: the pool
// by the mesh, and what it answers from the slot's address to clients outside of it.
type Attachment struct {
	Slot netip.Addr
	// Container is whose namespace it leads to.
	Container Process
	// Gateway is S, by which the container reaches Pool.
	Gateway netip.Addr
	Pool    netip.Prefix
	MTU     int
	Fault   string
}

// Process is the main process of a container: its PID, and when it began, in clock ticks
// since the boot, so that another one that gets the PID is not taken for it.
type Process struct {
	PID   int
	Start uint64
}

// SlotLink is the name of both ends of the link to the container in the slot: the last two
// bytes of its address. No engine gives such names.
func SlotLink(slot netip.Addr) string {
	a := slot.As4()
	return fmt.Sprintf("%s%d-%d", slotLinks, a[2], a[3])
}

const slotLinks = "rm"

// IsSlotLink says that a link of the mesh's namespace leads to a container.
func IsSlotLink(name string) bool { return strings.HasPrefix(name, slotLinks) }

// Key implements Object.
func (a Attachment) Key() Key {
	return Key{Kind: KindAttachment, NS: Mesh, Name: SlotLink(a.Slot)}
}
func (a Attachment) String() string {
	return faulty(fmt.Sprintf("link %s to the container of process %d (address %s, mtu %d)", SlotLink(a.Slot), a.Container.PID, a.Slot, a.MTU), a.Fault)
}

// Parent implements Object.
func (Attachment) Parent() Key { return NetNS{}.Key() }

// Missing implements Object. The container's process is another one after each of its starts,
// and a sentence of drift is not to change with it.
func (a Attachment) Missing() string {
	return fmt.Sprintf("The link %s to the container at %s is missing.", SlotLink(a.Slot), a.Slot)
}

// Extra implements Object.
func (a Attachment) Extra() string {
	return fmt.Sprintf("There is a link %s to a container that the record does not ask for.", SlotLink(a.Slot))
}

// Differs implements Object.
func (a Attachment) Differs(have Object) string {
	fault := FaultOf(have)
	if was, ok := have.(Attachment); ok && fault == "" {
		switch {
		case was.Container != a.Container:
			fault = "it leads to another container"
		default:
			fault = fmt.Sprintf("it has mtu %d, and leads to %s by %s", was.MTU, was.Pool, was.Gateway)
		}
	}
	return fmt.Sprintf("The link %s to the container at %s is not as it should be: %s.", SlotLink(a.Slot), a.Slot, fault)
}

func (a Attachment) fault() string { return a.Fault }

// Leads is what leads to the container over the link, which goes with it.
func (a Attachment) Leads() (Neigh, Route) {
	name := SlotLink(a.Slot)
	return Neigh{Link: name, Addr: a.Slot, MAC: HostMAC},
		Route{NS: Mesh, Table: MainTable, Dst: netip.PrefixFrom(a.Slot, a.Slot.BitLen()), Dev: name, Src: a.Gateway}
}
