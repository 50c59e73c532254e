package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/nft"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Foreign says what the host's nf_tables rules drop of the mesh. It reads them again
// only after they, or the record, have changed.
type Foreign struct {
	// Firewalld is told what the mesh needs: what its tables drop until then is not
	// news. It may be nil.
	Firewalld *Firewalld
	// Record returns the record that the node keeps to, and the node's name.
	Record func() (*mesh.Record, string)

	mu         sync.Mutex
	read       bool
	generation uint32
	rec        *mesh.Record
	link       uint32
	findings   []finding
	err        error
}

// tries is how often the rules are read when somebody changes them meanwhile.
const tries = 3

// Translated says where the host's rules send what comes to its own ports elsewhere,
// by port: a container holds them without a socket that listens. The mesh's own
// rules do not count.
func Translated(ports []mesh.PortKey, address netip.Addr) (map[mesh.PortKey]string, error) {
	rules, done, err := nft.Read()
	if err != nil {
		return nil, err
	}
	defer done()
	link := linkOf(address)
	return translated(rules, ports, nft.Packet{In: link, InIndex: linkNumber(link), Dst: address, ToLocal: true, State: nft.New}), rules.Err()
}

// translated asks for each port with a packet from outside.
func translated(rules *nft.Ruleset, ports []mesh.PortKey, p nft.Packet) map[mesh.PortKey]string {
	found := map[mesh.PortKey]string{}
	for _, c := range rules.Chains {
		if c.Type != "nat" || c.Hook != nft.Prerouting {
			continue
		}
		for _, key := range ports {
			p.Protocol, p.DstPort = protocol(key), key.Port
			if v := rules.Judge(c, p, ours(false)); v.Translates() && found[key] == "" {
				found[key] = fmt.Sprintf("%s in table %s %s", v.NATAt, c.Family, c.Table)
			}
		}
	}
	return found
}

// look brings findings up. The lock is held.
func (f *Foreign) look() (node string) {
	rec, node := f.Record()
	if rec == nil || rec.Nodes[node] == nil {
		f.read, f.findings, f.err = false, nil, nil
		return node
	}
	generation, err := nft.Generation()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		f.read, f.findings, f.err = false, nil, nil // a kernel without nf_tables
		return node
	}
	link := linkNumber(state.HostLink) // a rule may name it by its number
	if err == nil && f.read && f.generation == generation && f.rec == rec && f.link == link {
		return node
	}
	for range tries {
		f.findings, f.err = look(rec, node)
		if f.err == nil {
			break
		}
	}
	f.read, f.generation, f.rec, f.link = err == nil, generation, rec, link
	return node
}

func look(rec *mesh.Record, node string) ([]finding, error) {
	rules, done, err := nft.Read()
	if err != nil {
		return nil, err
	}
	defer done()
	q := questions(rec, node, linkOf(rec.Nodes[node].Address))
	byNumber(q, linkNumber)
	findings := judge(rules, q)
	return findings, rules.Err()
}

// byNumber adds the numbers of the links: some rules name them so.
func byNumber(q map[nft.Hook][]question, number func(link string) uint32) {
	known := map[string]uint32{}
	numberOf := func(link string) uint32 {
		if _, ok := known[link]; !ok {
			known[link] = number(link)
		}
		return known[link]
	}
	for _, all := range q {
		for i := range all {
			for _, p := range []*nft.Packet{&all[i].packet, all[i].packet.Before} {
				if p != nil {
					p.InIndex, p.OutIndex = numberOf(p.In), numberOf(p.Out)
				}
			}
		}
	}
}

// linkNumber is 0 for a link that is not there.
func linkNumber(name string) uint32 {
	link, err := netlink.LinkByName(name)
	if name == "" || err != nil {
		return 0
	}
	return uint32(link.Attrs().Index) // it is one of 32 bits
}

// Warnings is what is surely dropped.
func (f *Foreign) Warnings() []mesh.Warning {
	f.mu.Lock()
	defer f.mu.Unlock()
	node := f.look()
	return warningsOf(f.news(), node)
}

// Notes is what may be dropped, and what could not be read.
func (f *Foreign) Notes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	notes := notesOf(f.news())
	if f.err != nil {
		notes = append(notes, fmt.Sprintf("The host's nf_tables rules cannot be read whole: %v.", f.err))
	}
	return notes
}

// news leaves out what firewalld drops as long as it has not been told, or panics:
// that is said already.
func (f *Foreign) news() (all []finding) {
	told := f.Firewalld == nil || !f.Firewalld.Lacks()
	for _, finding := range f.findings {
		if told || !finding.firewalld() {
			all = append(all, finding)
		}
	}
	return all
}
