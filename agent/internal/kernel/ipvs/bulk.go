package ipvs

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Bulk does ops of one action on servers of one kind (Add or Remove) at once, at most
// nlmsg.MaxBatch, and returns those that have to be done one by one: which may be because
// they are done already. What moby/ipvs does one by one, and waits for each,
// goes to the kernel in one piece (a tenth of the time and less). Nothing of what
// the kernel says to it is made use of here: what it refuses, moby/ipvs is to do.
func (c *Conn) Bulk(ctx context.Context, ops []state.Op) (left []state.Op) {
	if err := c.openBulk(ctx); err != nil {
		return ops
	}
	first := c.wire.NextSeq()
	for _, op := range ops {
		switch o := op.Object().(type) {
		case state.VirtualServer:
			c.wire.service(commandFor(op, newService, delService), serviceOf(o))
		case state.RealServer:
			s, d := destinationOf(o)
			c.wire.dest(commandFor(op, newDest, delDest), s, d)
		}
	}
	failed, err := c.wire.Exchange(nil)
	if ops[0].Action == state.Remove {
		c.removed = time.Now()
	}
	if err != nil {
		c.Close()
		return ops
	}
	for i, op := range ops {
		if failed[first+uint32(i)] != nil {
			left = append(left, op)
		}
	}
	return left
}

func commandFor(op state.Op, add, remove byte) byte {
	if op.Action == state.Remove {
		return remove
	}
	return add
}

// openBulk opens its socket, once moby/ipvs has its own: then there is IPVS.
func (c *Conn) openBulk(ctx context.Context) error {
	if c.wire != nil {
		return nil
	}
	if err := c.open(ctx); err != nil {
		return err
	}
	w, there, err := dial(c.space.NS, c.space.Netlink)
	if err == nil && !there {
		err = unix.ENOENT
	}
	c.wire = w
	return err
}
