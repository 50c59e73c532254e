package presence

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// tick is how long at most the socket outlives its namespace, which it keeps alive,
// and how late silence may be noticed.
const tick = 250 * time.Millisecond

// Run sends and receives until ctx has ended.
func (p *Presence) Run(ctx context.Context) {
	var readers sync.WaitGroup
	defer readers.Wait()
	defer p.close()
	for {
		p.follow(ctx, &readers)
		p.send()
		timer := time.NewTimer(p.table.wait(p.now(), tick))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-p.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// follow has the socket be on the address of the roll, in the namespace that is there
// now.
func (p *Presence) follow(ctx context.Context, readers *sync.WaitGroup) {
	address, active := p.table.active()
	space := p.kernel.MeshID()
	if p.socket != nil && (!active || !p.socket.fits(space, address)) {
		p.close()
	}
	if p.socket != nil || !active || space == 0 {
		return
	}
	s, err := openSocket(ctx, p.kernel, place{space, p.link, netip.AddrPortFrom(address, p.port)})
	if err != nil {
		p.unopened.Do(func() { p.log.Info("other nodes are not told yet which slots are filled", "error", err) })
		return
	}
	p.socket = s
	p.table.listen(true, p.now())
	readers.Go(func() { s.read(p.take) })
}

func (p *Presence) close() {
	if p.socket != nil {
		p.table.listen(false, p.now())
		p.socket.close()
		p.socket = nil
	}
}

// send sends what is due. What is lost is sent again in the next interval.
func (p *Presence) send() {
	data, to := p.table.send(p.now())
	if len(to) == 0 || p.socket == nil {
		return
	}
	if err := p.socket.send(data, to, p.port); err != nil {
		p.unsent.Do(func() { p.log.Info("some nodes were not told which slots are filled", "error", err) })
	}
}

// take hands a datagram to the table. Only malformed ones are worth a line: the other
// refusals happen while a record is being distributed.
func (p *Presence) take(from netip.Addr, data []byte) {
	if err := p.table.receive(from, data, p.now()); errors.Is(err, errMalformed) {
		p.refused.Do(func() {
			n := p.table.refused()
			p.log.Warn("cannot read what a node says about its slots; its agent may be newer than this one", "from", from,
				"malformed", n.Malformed, "outsiders", n.Outsiders, "mismatches", n.Mismatches)
		})
	}
}
