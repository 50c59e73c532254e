package resolver

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/limit"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/names"
)

const (
	// Connections over TCP, in all and of one asker.
	maxStreams, maxStreamsPerAsker = 512, 32
	// idleTime is how long one may say nothing, writeTime how long it may take to take an
	// answer.
	idleTime, writeTime = 10 * time.Second, 5 * time.Second
	maxMessage          = 1<<16 - 1
)

// serveDatagrams reads until reading has ended, or the socket is closed. It never waits for
// another nameserver.
func (r *Resolver) serveDatagrams(s *sockets, reading, answering context.Context, handlers *sync.WaitGroup) {
	defer s.broken.Store(true) // run then opens others
	defer context.AfterFunc(reading, func() { _ = s.datagrams.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, maxMessage)
	for {
		n, from, err := s.datagrams.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		answer, q := r.decide(buf[:n], asker(from), false)
		if q != nil && r.forwarder.enter(asker(from)) {
			raw := q.detach(buf[:n])
			handlers.Go(func() { r.send(s, from, r.forward(answering, q, raw, asker(from), false)) })
			continue
		}
		if q != nil {
			answer = r.overloaded(q)
		}
		r.send(s, from, answer)
	}
}

// send drops an answer that cannot be sent: the asker asks again.
func (r *Resolver) send(s *sockets, to netip.AddrPort, answer []byte) {
	if len(answer) > 0 {
		_, _ = s.datagrams.WriteToUDPAddrPort(answer, to)
	}
}

func (r *Resolver) serveStreams(s *sockets, reading, answering context.Context, handlers *sync.WaitGroup) {
	defer s.broken.Store(true)
	defer context.AfterFunc(reading, func() { _ = s.streams.SetDeadline(time.Unix(1, 0)) })()
	l := limit.Connections(s.streams, maxStreams, maxStreamsPerAsker)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		handlers.Go(func() { r.serveStream(conn, reading, answering) })
	}
}

// serveStream answers one query after the other.
func (r *Resolver) serveStream(conn net.Conn, reading, answering context.Context) {
	defer conn.Close()
	defer context.AfterFunc(answering, func() { conn.Close() })()
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return
	}
	for {
		if conn.SetReadDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		stop := context.AfterFunc(reading, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
		raw, err := readStream(conn)
		stop()
		if err != nil {
			return
		}
		answer, q := r.decide(raw, asker(from), true)
		switch {
		case q == nil:
		case r.forwarder.enter(asker(from)):
			answer = r.forward(answering, q, raw, asker(from), true)
		default:
			answer = r.overloaded(q)
		}
		if len(answer) == 0 || conn.SetWriteDeadline(time.Now().Add(writeTime)) != nil || writeStream(conn, answer) != nil {
			return
		}
	}
}

// decide returns the answer to a request, or the query that is for others to answer. Neither
// where there is nothing to say.
func (r *Resolver) decide(raw []byte, asker netip.Addr, stream bool) (answer []byte, forward *query) {
	t := r.table.Load()
	if t == nil {
		return nil, nil
	}
	q, rcode, err := parseQuery(raw)
	switch {
	case errors.Is(err, errNoQuery):
		r.stats.malformed.Add(1)
		return nil, nil
	case err != nil:
		r.stats.malformed.Add(1)
		return q.fail(rcode), nil
	}
	a := t.Ask(names.Question{Name: q.question.Name.String(), Type: q.question.Type, Asker: asker})
	r.stats.count(a.Outcome)
	switch a.Outcome {
	case names.Forward:
		return nil, &q
	case names.Refused:
		return q.fail(dnsmessage.RCodeRefused), nil
	case names.NotYet:
		return q.fail(dnsmessage.RCodeServerFailure), nil
	}
	size := min(q.size, ednsSize)
	if stream {
		size = maxMessage
	}
	return q.own(a, t, int(r.turn.Add(1)), size), nil
}

// detach gives the query bytes of its own.
func (q *query) detach(raw []byte) []byte {
	raw = bytes.Clone(raw)
	q.asked = raw[headerSize : headerSize+len(q.asked)]
	return raw
}

// overloaded is the answer where too many queries are in flight.
func (r *Resolver) overloaded(q *query) []byte {
	r.stats.overload.Add(1)
	return q.fail(dnsmessage.RCodeServerFailure)
}

// forward is the answer of others, or that there is none, to a query that has entered.
func (r *Resolver) forward(ctx context.Context, q *query, raw []byte, asker netip.Addr, stream bool) []byte {
	defer r.forwarder.leave(asker)
	answer, err := r.forwarder.resolve(ctx, q, raw, stream)
	if err != nil {
		r.stats.failed.Add(1)
		return q.fail(dnsmessage.RCodeServerFailure)
	}
	if !stream {
		answer = q.fit(answer, q.size)
	}
	return answer
}
