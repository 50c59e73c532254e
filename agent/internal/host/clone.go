package host

import (
	"fmt"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// AddressWatch warns while the host does not have the underlay address of the node
// that its record says it is: as a clone of a node's machine has the node's record,
// and another address.
type AddressWatch struct {
	// Facts reads the host's addresses.
	Facts func() (mesh.HostFacts, error)
	// Current is the record on disk, and the node that this host is in it.
	Current func() (*mesh.Record, string)

	mu     sync.Mutex
	readAt time.Time
	facts  mesh.HostFacts
}

// factsFor is how long the addresses that were read hold: a balancer may ask many
// times a second.
const factsFor = time.Second

// Warnings answers at once. Addresses that cannot be read are no warning: a status
// fails by that.
func (w *AddressWatch) Warnings() []mesh.Warning {
	rec, node := w.Current()
	if rec == nil || rec.Nodes[node] == nil {
		return nil
	}
	facts, err := w.read()
	if err != nil {
		return nil
	}
	if _, ok := facts.LinkOf(rec.Nodes[node].Address); ok {
		return nil
	}
	return []mesh.Warning{{Code: mesh.WarnHost, Object: mesh.NodeRef(node), Text: addressLost(rec.Nodes[node]), AllTraffic: true}}
}

func (w *AddressWatch) read() (mesh.HostFacts, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.readAt) >= factsFor {
		facts, err := w.Facts()
		if err != nil {
			return facts, err
		}
		w.facts, w.readAt = facts, now
	}
	return w.facts, nil
}

// addressLost does not list the addresses that the host has: containers' come and go.
func addressLost(n *mesh.Node) string {
	return fmt.Sprintf("The host does not have %s, the address of node %s (`ip -4 address` shows those that it has), so nothing passes between it and the other nodes. "+
		"If this host is a copy of %s (a cloned machine), run `routingmesh-agent uninstall` on it; then it can join as a node of its own. "+
		"If it is %s itself, give it the address back, or set address of the node to the new one.", n.Address, n.Name, n.Name, n.Name)
}

// checkOwnAddress is checkAddress for a host that is a node already.
func (h *Host) checkOwnAddress(c *check) {
	facts, err := h.Facts()
	if err != nil {
		c.node(mesh.ProblemHostUnread, "", "The host's addresses cannot be read: %v.", err)
		return
	}
	if _, ok := facts.LinkOf(c.self.Address); !ok {
		c.node(mesh.ProblemAddress, "address", "%s", addressLost(c.self))
	}
}
