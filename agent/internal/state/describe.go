package state

import "fmt"

// What most kinds say of themselves.

func missing(o Object) string { return fmt.Sprintf("The %s is missing.", o) }

func extra(article string, o Object) string {
	return fmt.Sprintf("There is %s %s that the record does not ask for.", article, o)
}

func differs(wanted, have Object) string {
	if fault := FaultOf(have); fault != "" {
		return fmt.Sprintf("The %s is not as it should be: %s.", wanted, fault)
	}
	return fmt.Sprintf("Instead of the %s there is the %s.", wanted, have)
}

// FaultOf is what is wrong with an object beside its values, "" for nothing.
func FaultOf(o Object) string {
	if f, ok := o.(interface{ fault() string }); ok {
		return f.fault()
	}
	return ""
}

// faulty appends a fault to the text of an object.
func faulty(text, fault string) string {
	if fault == "" {
		return text
	}
	return text + ", " + fault
}

// parentOf is what is missing when a link is, or else the namespace.
func parentOf(ns NS, link string) Key {
	switch {
	case link == OverlayLink:
		return VXLAN{}.Key()
	case link == HostLink, link == MeshLink:
		return Veth{}.Key()
	case ns == Mesh && IsSlotLink(link):
		return Key{Kind: KindAttachment, NS: Mesh, Name: link}
	case ns == Mesh:
		return NetNS{}.Key()
	}
	return NoParent
}
