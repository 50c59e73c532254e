package mesh

import (
	"cmp"
	"fmt"
	"strings"
)

// Ref refers to one thing of a cluster: the cluster itself, a node, a service, a
// published port, a network, or a host that keeps the record. Problems carry it, so that a
// failure reaches the resource that caused it. The zero Ref refers to nothing.
//
// As text (JSON, logs) it is "cluster", "node/n1", "service/web", "port/8080/tcp",
// "network/backend" or "host/n1.example.com".
type Ref struct {
	Kind RefKind
	// Name is the name within its kind: a port's key, "" for the cluster.
	Name string
}

// RefKind is the type of what a Ref refers to.
type RefKind string

// The kinds that this version knows. A Ref of a newer program may have another one:
// it is kept as it is, and is in no record.
const (
	KindCluster RefKind = "cluster"
	KindNode    RefKind = "node"
	KindService RefKind = "service"
	KindPort    RefKind = "port"
	KindNetwork RefKind = "network"
	// KindHost is a host of the provider block. It is in no record.
	KindHost RefKind = "host"
)

// ClusterRef refers to the cluster's own settings.
var ClusterRef = Ref{Kind: KindCluster}

// NodeRef refers to a node.
func NodeRef(name string) Ref { return Ref{KindNode, name} }

// ServiceRef refers to a service.
func ServiceRef(name string) Ref { return Ref{KindService, name} }

// PortRef refers to a published port.
func PortRef(k PortKey) Ref { return Ref{KindPort, k.String()} }

// NetworkRef refers to a network.
func NetworkRef(name string) Ref { return Ref{KindNetwork, name} }

// HostRef refers to a host by its entry in the provider block.
func HostRef(entry string) Ref { return Ref{KindHost, entry} }

// ParseRef reads what String makes of a Ref of a kind that this version knows.
func ParseRef(s string) (Ref, error) {
	r, err := cut(s), error(nil)
	switch r.Kind {
	case KindCluster:
		if s != string(KindCluster) {
			err = fmt.Errorf("the cluster has no name here")
		}
	case KindNode, KindService, KindNetwork:
		err = CheckName(r.Name)
	case KindPort:
		_, err = parsePortKey(r.Name)
	case KindHost:
		if r.Name == "" {
			err = fmt.Errorf("the host's name is missing")
		}
	default:
		err = fmt.Errorf("want cluster, node/NAME, service/NAME, port/PORT/PROTOCOL, network/NAME or host/NAME")
	}
	if err != nil {
		return Ref{}, fmt.Errorf("%q is not a valid reference: %w", s, err)
	}
	return r, nil
}

// MustParseRef is ParseRef for constants and tests. It panics on an error.
func MustParseRef(s string) Ref {
	r, err := ParseRef(s)
	if err != nil {
		panic(err)
	}
	return r
}

// cut takes apart any text that String has made.
func cut(s string) Ref {
	kind, name, _ := strings.Cut(s, "/")
	return Ref{RefKind(kind), name}
}

func (r Ref) String() string {
	if r.Name == "" {
		return string(r.Kind)
	}
	return string(r.Kind) + "/" + r.Name
}

// IsZero says that the Ref refers to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// MarshalText makes a Ref a JSON string.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes any text: one odd Ref from another version must not make the
// whole answer unreadable.
func (r *Ref) UnmarshalText(text []byte) error {
	*r = cut(string(text))
	return nil
}

// Words is the Ref within a sentence: "the cluster", "node n1", "published port 8080/tcp".
func (r Ref) Words() string {
	switch r.Kind {
	case KindCluster:
		return "the cluster"
	case KindPort:
		return "published port " + r.Name
	}
	return string(r.Kind) + " " + r.Name
}

// Compare orders Refs by kind and name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.Name, o.Name))
}

// PortKey is the key of a published port; ok is false for other kinds.
func (r Ref) PortKey() (k PortKey, ok bool) {
	if r.Kind != KindPort {
		return PortKey{}, false
	}
	k, err := parsePortKey(r.Name)
	return k, err == nil
}

// Has says that the record has what the Ref refers to.
func (r *Record) Has(ref Ref) bool {
	switch ref.Kind {
	case KindCluster:
		return true
	case KindNode:
		return r.Nodes[ref.Name] != nil
	case KindService:
		return r.Services[ref.Name] != nil
	case KindNetwork:
		return r.HasNetwork(ref.Name)
	}
	k, ok := ref.PortKey()
	return ok && r.Ports[k] != nil
}
