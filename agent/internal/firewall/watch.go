package firewall

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/nft"
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
	links      string
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
	return translated(rules, ports, nft.Packet{In: link, InIndex: linkNumbers()[link], Dst: address, ToLocal: true, State: nft.New}), rules.Err()
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
	links := linkIndexes()
	if err == nil && f.read && f.generation == generation && f.rec == rec && f.links == links {
		return node
	}
	for range tries {
		f.findings, f.err = look(rec, node)
		if f.err == nil {
			break
		}
	}
	f.read, f.generation, f.rec, f.links = err == nil, generation, rec, links
	return node
}

// linkIndexes changes when a link that a rule may name by its number comes or goes.
func linkIndexes() string {
	links, _ := net.Interfaces()
	text := ""
	for _, l := range links {
		text += fmt.Sprint(l.Index, l.Name, " ")
	}
	return text
}

func look(rec *mesh.Record, node string) ([]finding, error) {
	rules, done, err := nft.Read()
	if err != nil {
		return nil, err
	}
	defer done()
	q := questions(rec, node, linkOf(rec.Nodes[node].Address))
	byNumber(q, linkNumbers())
	findings := judge(rules, q)
	return findings, rules.Err()
}

// byNumber adds the numbers of the links: some rules name them so.
func byNumber(q map[nft.Hook][]question, number map[string]uint32) {
	for _, all := range q {
		for i := range all {
			all[i].packet.InIndex, all[i].packet.OutIndex = number[all[i].packet.In], number[all[i].packet.Out]
		}
	}
}

func linkNumbers() map[string]uint32 {
	number := map[string]uint32{}
	links, _ := net.Interfaces() // a link without a number is one that is not known
	for _, l := range links {
		number[l.Name] = uint32(l.Index) //nolint:gosec // it is one of 32 bits
	}
	return number
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
