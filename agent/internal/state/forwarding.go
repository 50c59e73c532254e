package state

// Forwarding is what becomes of the packets that this host passes between links that
// are not the mesh's.
type Forwarding struct {
	// OnlyMesh says that the host forwards for the mesh alone: ip_forward was off before it
	// came, and nobody has come since who needs it. Nothing else is to be forwarded then.
	OnlyMesh bool
	// Bridges are the host's, sorted, separated by spaces, if OnlyMesh: what one of them
	// bridges meets the chains of FORWARD as well, where br_netfilter is loaded.
	Bridges string
}
