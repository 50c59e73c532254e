package probe

import (
	"context"
	"net"
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Smallest is the size of the packet that tells whether anything passes, in bytes
// with its IPv4 header.
const Smallest = smallest

// Pinger sends single echoes from S over the overlay, and hears the answers and
// the echoes of other nodes. Its socket keeps the mesh's namespace alive, so
// whoever holds one closes it when the namespace is replaced.
type Pinger struct {
	conn  *net.IPConn
	nonce nonce
}

// Heard is an echo that has arrived: an answer to one of the Pinger's own, or
// another node's request.
type Heard struct {
	From    netip.Addr
	Request bool
	Size    int
}

// NewPinger opens the socket.
func NewPinger(ctx context.Context, spaces Spaces, self *mesh.Node) (*Pinger, error) {
	s := &sockets{}
	if err := s.openMesh(ctx, spaces, self); err != nil {
		return nil, err
	}
	return &Pinger{conn: s.mesh, nonce: newNonce()}, nil
}

// Send sends one echo that makes an IPv4 packet of the size.
func (p *Pinger) Send(to netip.Addr, size int) error { return send(p.conn, to, size, p.nonce) }

// Read hands on what arrives until the Pinger is closed.
func (p *Pinger) Read(take func(Heard)) {
	_ = readEchoes(p.conn, func(e echo) { // its only error is the end
		if e.request || e.nonce == p.nonce {
			take(Heard{From: e.from, Request: e.request, Size: e.size})
		}
	})
}

// Close ends Read.
func (p *Pinger) Close() { p.conn.Close() }
