package nft

import (
	"fmt"
	"strings"
)

// Verdict codes (linux/netfilter.h, linux/netfilter/nf_tables.h).
const (
	verdictDrop, verdictAccept                = 0, 1
	verdictContinue, verdictBreak             = -1, -2
	verdictJump, verdictGoto, verdictReturned = -3, -4, -5
)

// Verdict is what may become of a packet in a base chain: each that may be.
type Verdict struct {
	Accept, Drop bool
	// DNAT says that its destination may be translated, which accepts it.
	DNAT bool
	// At is the place that drops it, the first of those that may: "policy drop", or
	// "rule 3" and of which chain.
	At string
	// NATAt is the place that translates it.
	NATAt string

	through bool // it may come out at the chain's end
}

// Drops says that the packet is surely dropped.
func (v Verdict) Drops() bool { return v.Drop && !v.Accept && !v.DNAT }

// Unsure says that it may be dropped.
func (v Verdict) Unsure() bool { return v.Drop && !v.Drops() }

// Translates says that the packet is surely sent elsewhere.
func (v Verdict) Translates() bool { return v.DNAT && !v.Accept && !v.Drop }

func (v *Verdict) merge(o Verdict) {
	if o.Drop && !v.Drop {
		v.At = o.At
	}
	if o.DNAT && !v.DNAT {
		v.NATAt = o.NATAt
	}
	v.Accept, v.Drop, v.DNAT = v.Accept || o.Accept, v.Drop || o.Drop, v.DNAT || o.DNAT
}

// Known is what somebody knows of chains better than their rules tell, by name: nil
// is a chain that is to be read.
type Known func(c Chain, jumpedTo string) *Verdict

// Passes is the verdict of a chain that a packet comes out of at its end.
func Passes() *Verdict { return &Verdict{through: true} }

// Judge says what becomes of a packet in a base chain.
func (r *Ruleset) Judge(c Chain, p Packet, known Known) Verdict {
	const conntrack, dstnat = -200, -100
	if p.Before != nil && c.Priority <= dstnat {
		p = *p.Before
	}
	j := &judge{
		Ruleset: r, base: c, packet: &p, known: known, done: map[string]Verdict{},
		tracked: c.Hook != Prerouting && c.Hook != Output || c.Priority > conntrack,
	}
	v := j.chain(c.Name, 0)
	if v.through {
		v.through = false
		if c.Drop {
			v.merge(Verdict{Drop: true, At: "policy drop"})
		} else {
			v.Accept = true
		}
	}
	return v
}

// judge follows one packet through one base chain.
type judge struct {
	*Ruleset
	base    Chain
	packet  *Packet
	known   Known
	tracked bool
	done    map[string]Verdict
}

// deepest is more than the kernel allows (NFT_JUMP_STACK_SIZE).
const deepest = 20

func (j *judge) chain(name string, depth int) (out Verdict) {
	if v, ok := j.done[name]; ok {
		return v
	}
	defer func() { j.done[name] = out }()
	if v := j.known(j.base, name); v != nil && depth > 0 {
		return *v
	}
	rules, ok := j.rulesOf(chainKey{j.base.family, j.base.Table, name})
	if !ok || depth > deepest {
		return anything()
	}
	j.done[name] = anything() // a loop, which the kernel does not allow
	for i, r := range rules {
		matches, verdicts := j.rule(r)
		if matches == no {
			continue
		}
		if j.follow(&out, verdicts, fmt.Sprintf("rule %d of chain %s", i+1, name), depth) && matches == yes {
			return out
		}
	}
	out.through = true
	return out
}

func anything() Verdict { return Verdict{Accept: true, Drop: true, through: true} }

// follow adds what the verdicts of a rule come to; ends says that none of them goes
// on with the next rule.
func (j *judge) follow(out *Verdict, verdicts []action, place string, depth int) (ends bool) {
	ends = len(verdicts) > 0
	for _, a := range verdicts {
		switch {
		case a.dnat:
			out.merge(Verdict{DNAT: true, NATAt: place})
		case a.anything:
			out.merge(Verdict{Accept: true, Drop: true, At: place})
		case a.code == verdictAccept:
			out.Accept = true
		case a.code == verdictDrop:
			out.merge(Verdict{Drop: true, At: place})
		case a.code == verdictJump || a.code == verdictGoto:
			sub := j.chain(a.chain, depth+1)
			out.merge(sub)
			if sub.through && a.code == verdictJump {
				ends = false
			}
			out.through = out.through || sub.through && a.code == verdictGoto
		case a.code == verdictReturned:
			out.through = true
		case a.code == verdictContinue || a.code == verdictBreak:
			ends = false
		default: // a queue, or what is not known yet
			out.merge(Verdict{Accept: true, Drop: true, At: place})
		}
	}
	return ends
}

// action is one way that a rule may end.
type action struct {
	verdict
	dnat, anything bool
}

// rule says whether the packet matches, and how the rule ends then: not at all where
// there is no action.
func (j *judge) rule(r rule) (matches truth, actions []action) {
	var regs registers
	matches = yes
	for _, e := range r {
		m, a := j.expression(&regs, e)
		if matches = matches.and(m); matches == no {
			return no, nil
		}
		if a != nil {
			return matches, a
		}
	}
	return matches, nil
}

// expression runs one expression.
func (j *judge) expression(regs *registers, e expression) (truth, []action) {
	switch e.name {
	case "counter", "log", "notrack", "objref", "ct_helper", "dup", "flow_offload", "secmark":
		return yes, nil
	case "payload", "meta", "ct", "fib":
		return j.load(regs, e), nil
	case "cmp", "bitwise", "range":
		return compute(regs, e), nil
	case "immediate":
		return immediate(regs, e)
	case "lookup":
		return j.lookup(regs, e)
	case "reject":
		return yes, []action{{verdict: verdict{code: verdictDrop}}}
	case "nat":
		const typ, dnat = 1, 1
		return yes, []action{{verdict: verdict{code: verdictAccept}, dnat: number(e.data[typ]) == dnat}}
	case "redir":
		return yes, []action{{dnat: true}}
	case "masq":
		return yes, []action{{verdict: verdict{code: verdictAccept}}}
	case "match":
		return j.xtMatch(e), nil
	case "target":
		return yes, xtTarget(e)
	case "queue", "synproxy", "tproxy", "fwd":
		return yes, []action{{anything: true}}
	}
	// limit, quota, connlimit, dynset, time, socket, osf …: it may match. A register
	// that it fills is unknown.
	for typ := uint16(1); typ <= 2; typ++ {
		if at, ok := register(e.data[typ]); ok {
			regs.put(at, unknownValue(min(16, registerBytes-at)))
		}
	}
	return unknown, nil
}

// Names of xtables' targets that let a packet go on to the next rule.
const goOn = " LOG NFLOG ULOG MARK CONNMARK CT NOTRACK TCPMSS CHECKSUM CLASSIFY DSCP TOS TTL TRACE AUDIT SET CONNSECMARK SECMARK TEE "

func xtTarget(e expression) []action {
	const name = 1
	switch target := text(e.data[name]); {
	case strings.Contains(goOn, " "+target+" "):
		return nil
	case target == "ACCEPT" || target == "SNAT" || target == "MASQUERADE" || target == "NETMAP":
		return []action{{verdict: verdict{code: verdictAccept}}}
	case target == "REJECT" || target == "DROP":
		return []action{{verdict: verdict{code: verdictDrop}}}
	case target == "DNAT" || target == "REDIRECT":
		return []action{{dnat: true}}
	}
	return []action{{anything: true}}
}
