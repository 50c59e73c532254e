package mesh

import (
	"cmp"
	"slices"
)

// Problem is one thing that is not, or would not be, as the record asks.
type Problem struct {
	// Code is the kind of problem, "" from an agent that is older than codes.
	Code ProblemCode `json:"code,omitempty"`
	// Object is the part of the record it concerns.
	Object Ref `json:"object"`
	// Part tells problems of one code and object apart: what of the object it is.
	Part string `json:"part,omitempty"`
	// Attribute is the Terraform attribute at fault, "" where it is not one.
	Attribute string `json:"attribute,omitempty"`
	// Text is a sentence that names what, why and what to do; the node is
	// added by the caller that shows it.
	Text string `json:"text"`
}

// ProblemID tells problems apart, whatever their words.
type ProblemID struct {
	Code            ProblemCode
	Object          Ref
	Part, Attribute string
}

// ID is the problem's identity. Of an agent without codes it is the text.
func (p *Problem) ID() ProblemID {
	if p.Code == "" {
		return ProblemID{Object: p.Object, Part: p.Text, Attribute: p.Attribute}
	}
	return ProblemID{p.Code, p.Object, p.Part, p.Attribute}
}

// SortProblems puts problems into the order of Status.Problems.
func SortProblems(all []Problem) {
	slices.SortFunc(all, func(a, b Problem) int { return cmp.Or(a.Object.Compare(b.Object), cmp.Compare(a.Text, b.Text)) })
}

// ProblemCode names a kind of Problem. It is on the wire: a code keeps its meaning
// and is not used for another one, and a reader takes codes that it does not know.
type ProblemCode string

// What an agent finds in its kernel, its files and its own listeners.
const (
	// ProblemMissing: something that the record asks for is not there.
	ProblemMissing ProblemCode = "missing"
	// ProblemExtra: something of the mesh's is there that the record does not ask for.
	ProblemExtra ProblemCode = "extra"
	// ProblemDiffers: something is there and is not as the record asks.
	ProblemDiffers ProblemCode = "differs"
	// ProblemKernelUnread: the kernel's state cannot be read.
	ProblemKernelUnread ProblemCode = "kernel-unread"
	// ProblemRecordUnread: the record on disk cannot be read.
	ProblemRecordUnread ProblemCode = "record-unread"
	// ProblemListener: the agent cannot listen on an address of the cluster's settings.
	ProblemListener ProblemCode = "listener"
)

// What speaks against a record on a host before it is committed.
const (
	// ProblemHostUnread: the host's addresses, routes, links or listeners cannot be read.
	ProblemHostUnread ProblemCode = "host-unread"
	// ProblemHostLacks: the kernel or a program that the mesh needs is too old or missing.
	ProblemHostLacks ProblemCode = "host-lacks"
	// ProblemNameTaken: something else on the host has a name or a number that the mesh uses.
	ProblemNameTaken ProblemCode = "name-taken"
	// ProblemAddress: the node's address is not one of the host's.
	ProblemAddress ProblemCode = "address"
	// ProblemPoolOverlaps: the address pool has addresses that the host uses for something else.
	ProblemPoolOverlaps ProblemCode = "pool-overlaps"
	// ProblemPortTaken: another program has a port that would be published.
	ProblemPortTaken ProblemCode = "port-taken"
	// ProblemListenerTaken: another program has a port on which the agent is to listen.
	ProblemListenerTaken ProblemCode = "listener-taken"
	// ProblemOverlayTaken: another program or device has the overlay's UDP port or VNI.
	ProblemOverlayTaken ProblemCode = "overlay-taken"
	// ProblemSavedRules: a file that is loaded at boot has the mesh's own rules in it.
	ProblemSavedRules ProblemCode = "saved-rules"
	// ProblemMTU: a link or route is too narrow for the overlay's MTU.
	ProblemMTU ProblemCode = "mtu"
)

// Why nodes do not reach each other over the overlay; see Reach.
const (
	// ProblemNotSent: a node cannot send at all.
	ProblemNotSent ProblemCode = "overlay-not-sent"
	// ProblemUnderlay: not even the underlay address answers.
	ProblemUnderlay ProblemCode = "overlay-underlay"
	// ProblemSource: packets arrive from another address than the node's.
	ProblemSource ProblemCode = "overlay-source"
	// ProblemFirewall: packets arrive on the host's links and not in its mesh.
	ProblemFirewall ProblemCode = "overlay-firewall"
	// ProblemFiltered: packets do not arrive on the host's links.
	ProblemFiltered ProblemCode = "overlay-filtered"
	// ProblemSilent: no answer, and the other end was not asked what it sees.
	ProblemSilent ProblemCode = "overlay-silent"
	// ProblemTooLarge: large packets do not pass.
	ProblemTooLarge ProblemCode = "overlay-too-large"
	// ProblemPieces: large packets pass as fragments only.
	ProblemPieces ProblemCode = "overlay-pieces"
)

// What a writer finds on the way to the nodes.
const (
	// ProblemUnreachable: the host does not answer.
	ProblemUnreachable ProblemCode = "unreachable"
	// ProblemLagging: the host answers and has not taken the record.
	ProblemLagging ProblemCode = "lagging"
	// ProblemNoAgent: the host has no agent.
	ProblemNoAgent ProblemCode = "no-agent"
	// ProblemRefused: the agent refuses the change.
	ProblemRefused ProblemCode = "refused"
	// ProblemUnconfirmed: the change was sent and nobody has said that it was taken.
	ProblemUnconfirmed ProblemCode = "unconfirmed"
	// ProblemNotRepaired: the node could not be asked to repair.
	ProblemNotRepaired ProblemCode = "not-repaired"
	// ProblemNotCleaned: a host has left and what was set up there stays.
	ProblemNotCleaned ProblemCode = "not-cleaned"
	// ProblemNotUpgraded: an agent of another version could not be replaced.
	ProblemNotUpgraded ProblemCode = "not-upgraded"
	// ProblemNotProbed: a node could not try the overlay.
	ProblemNotProbed ProblemCode = "not-probed"
	// ProblemKeepsAgent: the agent stays on a host that has left, as the last keeper of the record.
	ProblemKeepsAgent ProblemCode = "keeps-agent"
	// ProblemDraining: destinations are still being drained.
	ProblemDraining ProblemCode = "draining"
	// ProblemFork: a node has a record that the voters do not vouch for.
	ProblemFork ProblemCode = "fork"
)
