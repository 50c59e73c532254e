package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// attempts is how often each nameserver is asked, attemptTime for how long.
	attempts    = 2
	attemptTime = 2 * time.Second
	// maxInFlight bounds the queries that others have yet to answer, maxPerAsker those of
	// one asker: none of them can take all places.
	maxInFlight = 4096
	maxPerAsker = 256
)

var errNobody = errors.New("no nameserver has answered")

// forwarder hands queries on, as they are, to the nameservers of the host. It works in the
// host's network namespace, where the agent is.
type forwarder struct {
	upstream *upstream
	attempt  time.Duration // attemptTime but in tests

	mu       sync.Mutex
	inFlight int
	askers   map[netip.Addr]int
}

func newForwarder(u *upstream) *forwarder {
	return &forwarder{upstream: u, attempt: attemptTime, askers: map[netip.Addr]int{}}
}

// enter takes a place for a query of the asker, if there is one.
func (f *forwarder) enter(asker netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inFlight >= maxInFlight || f.askers[asker] >= maxPerAsker {
		return false
	}
	f.inFlight++
	f.askers[asker]++
	return true
}

func (f *forwarder) leave(asker netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight--
	if f.askers[asker]--; f.askers[asker] == 0 {
		delete(f.askers, asker)
	}
}

// resolve asks the nameservers one after the other, and returns the first answer with the id
// of the query. One that says that its nameserver cannot tell is the last resort. An answer
// that does not fit a datagram is asked for over TCP if the asker can take it (stream);
// otherwise it is told so, and comes back over TCP.
func (f *forwarder) resolve(ctx context.Context, q *query, raw []byte, stream bool) ([]byte, error) {
	var last []byte
	servers := f.upstream.order()
	for round := 0; round < attempts && last == nil; round++ {
		for _, s := range servers {
			answer, err := f.exchange(ctx, s.address, q, raw, stream)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				s.failedAt(f.upstream.now())
				continue
			}
			s.answered()
			switch rcodeOf(answer) {
			case dnsmessage.RCodeServerFailure, dnsmessage.RCodeRefused, dnsmessage.RCodeNotImplemented: // as resolv.conf(5) has it, the next one is asked
				last = answer
			default:
				return withID(answer, q.header.ID), nil
			}
		}
	}
	if last == nil {
		return nil, errNobody
	}
	return withID(last, q.header.ID), nil
}

// exchange asks one nameserver. Port and id are random, each time.
func (f *forwarder) exchange(ctx context.Context, to netip.AddrPort, q *query, raw []byte, stream bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.attempt)
	defer cancel()
	answer, err := f.exchangeOver(ctx, "udp", to, q, raw)
	if err == nil && truncated(answer) && stream {
		return f.exchangeOver(ctx, "tcp", to, q, raw)
	}
	return answer, err
}

func (f *forwarder) exchangeOver(ctx context.Context, network string, to netip.AddrPort, q *query, raw []byte) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, to.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails
	id := binary.BigEndian.Uint16(random[:])
	sent := withID(append([]byte(nil), raw...), id)
	if network == "tcp" {
		return exchangeStream(conn, sent, id, q)
	}
	return exchangeDatagram(conn, sent, id, q)
}

// exchangeDatagram passes over what is no answer to the query: the socket is connected, so
// that it came from the nameserver's address, or from somebody who guessed the port.
func exchangeDatagram(conn net.Conn, sent []byte, id uint16, q *query) ([]byte, error) {
	if _, err := conn.Write(sent); err != nil {
		return nil, err
	}
	buf := make([]byte, max(q.size, ednsSize)+1)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if answer := buf[:n]; answerTo(answer, id, q.asked) {
			return q.fit(answer, len(buf)-1), nil
		}
	}
}

func exchangeStream(conn net.Conn, sent []byte, id uint16, q *query) ([]byte, error) {
	if err := writeStream(conn, sent); err != nil {
		return nil, err
	}
	answer, err := readStream(conn)
	if err == nil && !answerTo(answer, id, q.asked) {
		err = errForm
	}
	return answer, err
}

// readStream reads a message with its length before it.
func readStream(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, raw)
	return raw, err
}

// writeStream writes a message with its length before it, in one piece.
func writeStream(w io.Writer, raw []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(raw)), uint16(len(raw)))
	_, err := w.Write(append(framed, raw...))
	return err
}

// revive asks nameservers that are dead for something that each of them has.
func (f *forwarder) revive(ctx context.Context, servers []*nameserver) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{RecursionDesired: true})
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName("."), Type: dnsmessage.TypeNS, Class: dnsmessage.ClassINET})
	raw, err := b.Finish()
	if err != nil {
		return
	}
	q, _, err := parseQuery(raw)
	if err != nil {
		return
	}
	for _, s := range servers {
		if _, err := f.exchange(ctx, s.address, &q, raw, false); err == nil {
			s.answered()
		}
	}
}
