package selftest

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/wait"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const (
	// A SYN without an answer is sent again, synTries times in all.
	synTries = 3
	synWait  = time.Second
	// tunAgain is how long a link that cannot be made, or was taken away, is left alone.
	tunAgain = 30 * time.Second
	// idle is how often a node without a port to test looks for one.
	idle = time.Second
)

// path tests the way of a client's packet: the agent writes a SYN into a TUN
// device, for a published port of this node, and the host takes it for one that
// has come from outside.
type path struct {
	Options
	// clean says that a node is reached over the overlay. A path that fails where it
	// does not is not told of.
	clean func(node string) bool
	// open makes the TUN device; tests replace it.
	open func(source netip.Addr) (*os.File, error)

	tun     *os.File // nil while there is none
	source  netip.Addr
	answers chan answer
	retry   time.Time
	toldOff bool

	mu       sync.Mutex
	schedule schedule
	off      string
}

func newPath(o Options, clean func(string) bool) *path {
	p := &path{Options: o, clean: clean, answers: make(chan answer, 16), schedule: schedule{suspects: map[suspectKey]*suspect{}}}
	p.open = func(source netip.Addr) (file *os.File, err error) {
		err = o.Kernel.InHost(func() error {
			file, err = openTUN(source)
			return err
		})
		return file, err
	}
	return p
}

func (p *path) run(ctx context.Context) {
	defer p.close()
	for p.pause(ctx) {
		p.step(ctx)
	}
}

// pause waits for the next test.
func (p *path) pause(ctx context.Context) bool {
	p.mu.Lock()
	due, some := p.schedule.due()
	p.mu.Unlock()
	pause := idle
	if some {
		pause = min(idle, time.Until(due))
	}
	return wait.For(ctx, pause)
}

// step makes one test, if one is due.
func (p *path) step(ctx context.Context) {
	rec, node := p.Record()
	p.mu.Lock()
	p.schedule.keep(rec, node)
	due, some := p.schedule.due()
	p.mu.Unlock()
	now := time.Now()
	switch {
	case rec == nil || rec.Nodes[node] == nil:
		p.close()
		return
	case !some || now.Before(due) || p.Broken() || !p.follow(rec.Nodes[node], now):
		return
	}
	p.mu.Lock()
	key := p.schedule.take(now)
	to := compile.LeadsTo(rec, node, rec.Ports[key], p.Conditions())
	p.schedule.leads(key, to)
	suspected := p.schedule.suspected(key)
	p.mu.Unlock()
	if len(to) == 0 {
		return
	}
	at, ok := p.entry(rec.Nodes[node], rec.Ports[key])
	if !ok {
		return // the host has no address of the port's
	}
	result, ok := p.test(ctx, rec.Nodes[node], netip.AddrPortFrom(at, key.Port), suspected)
	if ok && ctx.Err() == nil {
		p.mu.Lock()
		p.schedule.note(key, result, time.Now())
		p.mu.Unlock()
	}
}

// entry is the address that a client outside would connect to; false where there is none.
func (p *path) entry(self *mesh.Node, port *mesh.PublishedPort) (netip.Addr, bool) {
	if port.Listen.Has(self.Address) {
		return self.Address, true
	}
	if p.Addresses == nil {
		return netip.Addr{}, false
	}
	all, err := p.Addresses()
	i := slices.IndexFunc(all, func(a netip.Addr) bool { return !a.IsLoopback() && port.Listen.Has(a) })
	if err != nil || i < 0 {
		return netip.Addr{}, false
	}
	return all[i], true
}

// follow has the link be there, with the route to the address of this node.
func (p *path) follow(self *mesh.Node, now time.Time) bool {
	if p.tun != nil && p.source != self.SelfTestAddress() {
		p.close()
	}
	if p.tun != nil {
		return true
	}
	if now.Before(p.retry) {
		return false
	}
	p.retry = now.Add(tunAgain)
	file, err := p.open(self.SelfTestAddress())
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.off = err.Error()
		if !p.toldOff {
			p.toldOff = true
			p.Log.Warn("the path of published ports is not tested", "error", err)
		}
		return false
	}
	p.tun, p.source, p.off = file, self.SelfTestAddress(), ""
	go p.read(file)
	return true
}

func (p *path) close() {
	if p.tun != nil {
		p.tun.Close()
		p.tun = nil
	}
}

// read hands on the answers until the link is closed, or gone.
func (p *path) read(file *os.File) {
	buf := make([]byte, 1<<16)
	for {
		n, err := file.Read(buf)
		if err != nil {
			return
		}
		if a, ok := parseAnswer(buf[:n]); ok {
			select {
			case p.answers <- a:
			default: // nobody waits for so many
			}
		}
	}
}

// test sends a SYN to the port and waits for what comes back; false when it could
// not be sent. Where it has gone is looked for when it fails, or when asked for.
func (p *path) test(ctx context.Context, self *mesh.Node, to netip.AddrPort, where bool) (outcome, bool) {
	const firstPort = 1 << 15
	syn := segment{
		from: netip.AddrPortFrom(p.source, firstPort+uint16(rand.Uint32N(1<<15))),
		to:   to, seq: rand.Uint32(), flags: flagSYN,
	}
	p.forget()
	for range synTries {
		if _, err := p.tun.Write(syn.marshal()); err != nil {
			p.gone(err)
			return outcome{}, false
		}
		a, ok := p.wait(ctx, syn)
		if ctx.Err() != nil {
			return outcome{}, false
		}
		if !ok {
			continue
		}
		result := outcome{passed: a.rejected == "", rejected: a.rejected}
		if !result.passed || where {
			p.locate(&result, syn, self)
		}
		if result.passed && a.flags&flagRST == 0 {
			p.end(syn, a)
		}
		return result, true
	}
	var result outcome
	p.locate(&result, syn, self)
	p.end(syn, answer{})
	return result, true
}

// end ends the connection that a SYN may have begun: no process ever sees it. The
// reset is for the endpoint. IPVS ignores it in a connection that is being made
// (tcp_states), and counts that among those that a drain waits for: so a FIN comes
// after it. Its acknowledgement is of one byte too few, so that it completes no
// connection should it arrive first; the endpoint answers it with a reset.
func (p *path) end(syn segment, a answer) {
	reset := segment{from: syn.from, to: syn.to, seq: syn.seq + 1, flags: flagRST}
	_, _ = p.tun.Write(reset.marshal()) // the next test finds out if the link is gone
	if a.flags&flagSYN != 0 {
		fin := segment{from: syn.from, to: syn.to, seq: syn.seq + 1, ack: a.seq, flags: flagFIN | flagACK}
		_, _ = p.tun.Write(fin.marshal())
	}
}

// gone notes that the link has been taken away.
func (p *path) gone(err error) {
	p.close()
	p.Log.Warn("the link of the self-test is gone, and made again in a while", "link", state.SelfTestLink, "error", err)
	p.retry = time.Now().Add(tunAgain)
}

// forget drops what has come late.
func (p *path) forget() {
	for {
		select {
		case <-p.answers:
		default:
			return
		}
	}
}

// wait waits for the answer to a SYN, for a second at most.
func (p *path) wait(ctx context.Context, syn segment) (answer, bool) {
	timer := time.NewTimer(synWait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return answer{}, false
		case <-timer.C:
			return answer{}, false
		case a := <-p.answers:
			if a.answers(syn) {
				return a, true
			}
		}
	}
}

// answers says that a is a SYN-ACK or reset for the SYN, or an ICMP message about it.
func (a answer) answers(syn segment) bool {
	if a.rejected != "" {
		return a.from == syn.from && a.to == syn.to && a.seq == syn.seq
	}
	return a.from == syn.to && a.to == syn.from && a.flags&flagACK != 0 && a.ack == syn.seq+1 &&
		(a.flags&flagSYN != 0 || a.flags&flagRST != 0)
}

// locate asks conntrack how far the packet has got.
func (p *path) locate(o *outcome, syn segment, self *mesh.Node) {
	o.at = unknown
	here, found, err := p.Kernel.FindFlow(state.Host, syn.from, syn.to)
	switch {
	case err != nil:
		return
	case !found:
		o.at = nowhere
		return
	}
	if _, ours := self.PairOf(here.AnsweredFrom.Addr()); !ours {
		o.at = untranslated
		return
	}
	there, found, err := p.Kernel.FindFlow(state.Mesh, here.AnsweredTo, here.AnsweredFrom)
	if mesh.RangeVIPs.Contains(here.AnsweredFrom.Addr()) { // IPVS's destination is of all ports
		there.AnsweredFrom = netip.AddrPortFrom(there.AnsweredFrom.Addr(), 0)
	}
	switch {
	case err != nil:
	case !found:
		o.at = hostLink
	case here.Answered:
		o.at, o.to = out, there.AnsweredFrom
	case there.Answered:
		o.at, o.to = back, there.AnsweredFrom
	default:
		o.at, o.to = sent, there.AnsweredFrom
	}
}

func (p *path) summary(s *mesh.SelfTest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Ports, s.Off = len(p.schedule.ports), p.off
	failing, _ := p.schedule.failing(time.Now())
	switch {
	case p.off != "":
		s.Path = mesh.PathOff
	case s.Ports == 0:
		s.Path = mesh.PathIdle
	case p.schedule.ended == 0:
		s.Path = mesh.PathWaiting
	case len(failing) > 0:
		s.Path = mesh.PathFails
	default:
		s.Path = mesh.PathPasses
	}
}
