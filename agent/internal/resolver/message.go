package resolver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/names"
)

const (
	headerSize = 12
	// plainSize is what an asker over UDP takes that says nothing else (RFC 1035), ednsSize
	// what we send at most: it fits one packet on every path (DNS flag day 2020).
	plainSize = 512
	ednsSize  = 1232
	// addressSize is an A record whose name is a pointer to the question's.
	addressSize = 16

	typeIXFR dnsmessage.Type = 251
	// badVersion is the extended code of an EDNS version that we do not know.
	badVersion dnsmessage.RCode = 16
)

// query is a request.
type query struct {
	header   dnsmessage.Header
	question dnsmessage.Question // of no name where the request has none that can be read
	asked    []byte              // the question as it was sent
	edns     bool
	size     int // of the largest answer that the asker takes
}

var (
	errNoQuery = errors.New("not a query")
	errForm    = errors.New("a query that cannot be read")
)

// parseQuery reads a request. With errNoQuery there is nothing to answer. With another error
// the query has as much as an answer needs.
func parseQuery(raw []byte) (q query, rcode dnsmessage.RCode, err error) {
	var p dnsmessage.Parser
	q.size = plainSize
	if q.header, err = p.Start(raw); err != nil || q.header.Response {
		return q, 0, errNoQuery
	}
	if q.header.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, errForm
	}
	if binary.BigEndian.Uint16(raw[4:]) != 1 {
		return q, dnsmessage.RCodeFormatError, errForm
	}
	end, ok := questionEnd(raw)
	if !ok {
		return q, dnsmessage.RCodeFormatError, errForm
	}
	question, err := p.Question()
	if err != nil {
		return q, dnsmessage.RCodeFormatError, errForm
	}
	q.question, q.asked = question, raw[headerSize:end]
	if rcode, err = q.readOptions(&p); err != nil {
		return q, rcode, err
	}
	switch {
	case question.Class != dnsmessage.ClassINET:
		return q, dnsmessage.RCodeRefused, errForm
	case question.Type == dnsmessage.TypeAXFR || question.Type == typeIXFR:
		return q, dnsmessage.RCodeNotImplemented, errForm // many messages, and nobody's business
	}
	return q, 0, nil
}

// readOptions looks for EDNS (RFC 6891).
func (q *query) readOptions(p *dnsmessage.Parser) (dnsmessage.RCode, error) {
	if p.SkipAllQuestions() != nil || p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return dnsmessage.RCodeFormatError, errForm
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return 0, nil
		}
		if err != nil || p.SkipAdditional() != nil || h.Type == dnsmessage.TypeOPT && q.edns {
			return dnsmessage.RCodeFormatError, errForm
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns, q.size = true, max(plainSize, int(h.Class))
			if h.TTL>>16&0xff != 0 {
				return badVersion, errForm
			}
		}
	}
}

// questionEnd is where the first question of a message ends. Its name is not compressed: there
// is nothing before it to point to.
func questionEnd(raw []byte) (int, bool) {
	for at := headerSize; at < len(raw); {
		n := int(raw[at])
		switch at++; {
		case n == 0:
			return at + 4, at+4 <= len(raw)
		case n > 63:
			return 0, false
		}
		at += n
	}
	return 0, false
}

// answerTo says whether a message is the answer to a query of the id and question.
func answerTo(raw []byte, id uint16, asked []byte) bool {
	if len(raw) < headerSize+len(asked) || binary.BigEndian.Uint16(raw) != id || raw[2]&0x80 == 0 || binary.BigEndian.Uint16(raw[4:]) != 1 {
		return false
	}
	return bytes.EqualFold(raw[headerSize:headerSize+len(asked)], asked)
}

func truncated(raw []byte) bool { return raw[2]&0x02 != 0 }

func rcodeOf(raw []byte) dnsmessage.RCode { return dnsmessage.RCode(raw[3] & 0x0f) }

// fit cuts an answer of others that is longer than the asker takes down to one that says so.
func (q *query) fit(raw []byte, limit int) []byte {
	if len(raw) <= limit {
		return raw
	}
	cut := bytes.Clone(raw[:headerSize+len(q.asked)])
	cut[2] |= 0x02
	clear(cut[6:headerSize])
	return cut
}

// response is a builder of the answer to q, up to its question.
func (q *query) response(rcode dnsmessage.RCode, own, cut bool) dnsmessage.Builder {
	b := dnsmessage.NewBuilder(make([]byte, 0, plainSize), dnsmessage.Header{
		ID: q.header.ID, Response: true, OpCode: q.header.OpCode, Authoritative: own, Truncated: cut,
		RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true, CheckingDisabled: q.header.CheckingDisabled, RCode: rcode & 0x0f,
	})
	b.EnableCompression()
	if len(q.asked) > 0 {
		_ = b.StartQuestions() // the errors of a builder come again at its end
		_ = b.Question(q.question)
	}
	return b
}

// finish adds EDNS where the query has it.
func (q *query) finish(b *dnsmessage.Builder, rcode dnsmessage.RCode) []byte {
	if q.edns {
		var h dnsmessage.ResourceHeader
		if b.StartAdditionals() != nil || h.SetEDNS0(ednsSize, rcode, false) != nil || b.OPTResource(h, dnsmessage.OPTResource{}) != nil {
			return nil
		}
	}
	raw, err := b.Finish()
	if err != nil {
		return nil // no question that was read comes to this
	}
	return raw
}

// fail is an answer without records.
func (q *query) fail(rcode dnsmessage.RCode) []byte {
	b := q.response(rcode, false, false)
	return q.finish(&b, rcode)
}

// own is our answer, in limit bytes. turn says with which address it begins.
func (q *query) own(a names.Answer, t *names.Table, turn, limit int) []byte {
	rcode := dnsmessage.RCodeSuccess
	if a.Outcome == names.NXDomain {
		rcode = dnsmessage.RCodeNameError
	}
	base := headerSize + len(q.asked)
	if q.edns {
		base += 11
	}
	n := len(a.Addresses)
	if room := (limit - base) / addressSize; n > room {
		n = max(0, room)
	}
	b := q.response(rcode, true, n < len(a.Addresses))
	_ = b.StartAnswers()
	h := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: a.TTL}
	for i := range n {
		_ = b.AResource(h, dnsmessage.AResource{A: a.Addresses[(turn+i)%len(a.Addresses)].As4()})
	}
	if a.Target != "" {
		if target, err := dnsmessage.NewName(a.Target); err == nil {
			_ = b.PTRResource(h, dnsmessage.PTRResource{PTR: target})
		}
	}
	switch {
	case a.Outcome == names.Found && n == 0 && len(a.Addresses) == 0 && a.Target == "": // the zone's own
		_ = authority(&b, a, t)
	case a.Outcome != names.Found:
		_ = b.StartAuthorities()
		_ = authority(&b, a, t)
	}
	return q.finish(&b, rcode)
}

// authority adds the SOA that a negative answer is remembered by (RFC 2308).
func authority(b *dnsmessage.Builder, a names.Answer, t *names.Table) error {
	zone, err := dnsmessage.NewName(a.Zone)
	if err != nil {
		return err
	}
	server, err := dnsmessage.NewName(t.Zone())
	if err != nil {
		return err
	}
	return b.SOAResource(dnsmessage.ResourceHeader{Name: zone, Class: dnsmessage.ClassINET, TTL: a.TTL}, dnsmessage.SOAResource{
		NS: server, MBox: dnsmessage.MustNewName("nobody.invalid."), Serial: t.Serial(),
		Refresh: 3600, Retry: 1200, Expire: 604800, MinTTL: a.TTL,
	})
}

// withID is the message under another id.
func withID(raw []byte, id uint16) []byte {
	binary.BigEndian.PutUint16(raw, id)
	return raw
}

// asker is the address that a message came from.
func asker(from netip.AddrPort) netip.Addr { return from.Addr().Unmap() }
