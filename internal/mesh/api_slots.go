package mesh

import "net/netip"

// SlotState says whether a slot is filled, as one node knows it.
type SlotState string

const (
	// SlotFilled: a container has it.
	SlotFilled SlotState = "filled"
	// SlotEmpty: its node says that none has it.
	SlotEmpty SlotState = "empty"
	// SlotSilent: its node's agent is not heard, so that a container may have it.
	SlotSilent SlotState = "silent"
	// SlotUnknown: nothing has been heard yet.
	SlotUnknown SlotState = "unknown"
	// SlotUnpublished: its service publishes no port and is in no network, so no container is
	// looked for.
	SlotUnpublished SlotState = "unpublished"
)

// Slot is the place of a container, as one node knows it.
type Slot struct {
	Service  string     `json:"service"`
	Endpoint string     `json:"endpoint"`
	Node     string     `json:"node"`
	Address  netip.Addr `json:"address"`
	State    SlotState  `json:"state"`
	// Engine and Container are who has it; "" on another node than its own, which only
	// knows that it is filled.
	Engine    string `json:"engine,omitempty"`
	Container string `json:"container,omitempty"`
}

// Slots is the answer to PathSlots: all slots of the record, by service, endpoint and address.
type Slots struct {
	Slots []Slot `json:"slots"`
}
