package state

// NetNS is the mesh's network namespace itself, its loopback link up.
type NetNS struct{ Fault string }

// Key implements Object.
func (NetNS) Key() Key         { return Key{Kind: KindNamespace, Name: Namespace} }
func (n NetNS) String() string { return faulty("network namespace "+Namespace, n.Fault) }

// Parent implements Object.
func (n NetNS) Parent() Key { return NoParent }

// Missing implements Object.
func (n NetNS) Missing() string { return missing(n) }

// Extra implements Object.
func (n NetNS) Extra() string { return extra("a", n) }

// Differs implements Object.
func (n NetNS) Differs(have Object) string { return differs(n, have) }

func (n NetNS) fault() string { return n.Fault }
