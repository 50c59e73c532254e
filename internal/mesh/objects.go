package mesh

import (
	"fmt"
	"strings"
)

// Error is a rule that a change would break.
type Error struct {
	// Object is what the change was about.
	Object Ref
	// Attribute is the Terraform attribute at fault, "" where it is not one.
	Attribute string
	// Summary is the headline, "" for the one of the attribute.
	Summary string
	// Taken is the object that stands in the way, where its removal would clear
	// it; "" elsewhere.
	Taken Ref
	// Detail says what, why and what to do, in sentences.
	Detail string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Object, e.Detail) }

// Ids are made of names, so that a plan knows them before anything exists:
// demo, demo/web, demo/n1, demo/web/8080/tcp.

// NodeID is the Terraform id of a node.
func NodeID(cluster, node string) string { return cluster + "/" + node }

// ServiceID is the Terraform id of a service.
func ServiceID(cluster, service string) string { return cluster + "/" + service }

// NetworkID is the Terraform id of a network.
func NetworkID(cluster, network string) string { return cluster + "/" + network }

// PortID is the Terraform id of a published port.
func PortID(serviceID string, k PortKey) string { return serviceID + "/" + k.Plain().String() }

// SplitID takes apart the id of a node, a service or a network.
func SplitID(id string) (cluster, name string, err error) {
	cluster, name, ok := strings.Cut(id, "/")
	if !ok || CheckName(cluster) != nil || CheckName(name) != nil {
		return "", "", fmt.Errorf("%q is no id: want CLUSTER/NAME, as in demo/web", id)
	}
	return cluster, name, nil
}

// SplitPortID takes apart the id of a published port.
func SplitPortID(id string) (cluster, service string, k PortKey, err error) {
	parts := strings.SplitN(id, "/", 3)
	if len(parts) == 3 {
		cluster, service, err = SplitID(parts[0] + "/" + parts[1])
		if err == nil {
			if k, err = ParsePortKey(parts[2]); err == nil {
				return cluster, service, k, nil
			}
		}
	}
	return "", "", PortKey{}, fmt.Errorf("%q is no published port id: want CLUSTER/SERVICE/PORT/PROTOCOL, as in demo/web/8080/tcp", id)
}

// CheckName accepts DNS labels of at most 63 characters, so that a name can
// stand in an id, a file name and a log line.
func CheckName(name string) error {
	if name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return fmt.Errorf("%q is no name: want 1–63 of a–z, 0–9 and -, not starting or ending with -", name)
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("%q is no name: want 1–63 of a–z, 0–9 and -, not starting or ending with -", name)
		}
	}
	return nil
}
