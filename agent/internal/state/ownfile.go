package state

import "fmt"

// OwnFile is a file that the agent itself needs on the host: its program, the
// link to it, its unit, its record. It is no kernel state, but drifts and is
// repaired like it. So is what a firewall service of the host was told.
type OwnFile struct {
	// What it is to a person: "program", "systemd unit".
	What string
	Path string
	// Fault is what is wrong with it and what comes of that, as the rest of a
	// sentence: "is missing, so that …".
	Fault string
}

// Key implements Object.
func (f OwnFile) Key() Key { return Key{Kind: KindOwnFile, Name: f.Path} }
func (f OwnFile) String() string {
	return faulty(fmt.Sprintf("%s %s", f.What, f.Path), f.Fault)
}

// Parent implements Object.
func (f OwnFile) Parent() Key { return NoParent }

// Missing implements Object.
func (f OwnFile) Missing() string { return missing(f) }

// Extra implements Object.
func (f OwnFile) Extra() string { return extra("a", f) }

// Differs implements Object.
func (f OwnFile) Differs(have Object) string {
	was, ok := have.(OwnFile)
	if !ok {
		return differs(f, have)
	}
	return fmt.Sprintf("The %s %s %s.", was.What, was.Path, was.Fault)
}
