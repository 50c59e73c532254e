package hairpin

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Put makes the table, in the place of the one that is there.
func Put(s *netns.Space, h state.Hairpin) (err error) {
	all, err := elements(h)
	if err != nil {
		return err
	}
	c, _, err := nlmsg.OpenNFTables(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.CloseLasting()) }()
	c.AddTable(table) // so that there is one to delete
	c.DelTable(table)
	c.AddTable(table)
	of := set()
	of.ID = 1 // of this transaction: the library's own count is not safe for several goroutines
	if err := c.AddSet(of, all); err != nil {
		return err
	}
	rules := rules(h.Source)
	for _, chain := range chains() {
		c.AddChain(chain)
		for _, e := range rules[chain.Name] {
			if l, ok := e.(*expr.Lookup); ok {
				l.SetID = of.ID
			}
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rules[chain.Name]})
	}
	return c.Flush()
}

// Remove takes the table away.
func Remove(s *netns.Space) (err error) {
	c, _, err := nlmsg.OpenNFTables(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.CloseLasting()) }()
	c.DelTable(table)
	return nlmsg.Ignore(c.Flush(), unix.ENOENT)
}

// Observe puts the table, if it is there.
func Observe(s *netns.Space, into state.State) (err error) {
	c, _, err := nlmsg.OpenNFTables(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.CloseLasting()) }()
	tables, err := c.ListTablesOfFamily(table.Family)
	if nlmsg.LacksNFTables(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == table.Name }) {
		return nil
	}
	h, err := read(c)
	if err != nil {
		return fmt.Errorf("read the nf_tables table ip %s: %w", table.Name, err)
	}
	into.Put(h)
	return nil
}

func read(c *nftables.Conn) (h state.Hairpin, err error) {
	if h.Source, h.Fault, err = readChains(c); err != nil {
		return h, err
	}
	sets, err := c.GetSets(table)
	if err != nil {
		return h, err
	}
	if len(sets) != 1 || sets[0].Name != members {
		h.Fault = "its sets are not the mesh's"
		return h, nil
	}
	elements, err := c.GetSetElements(set())
	if err != nil {
		return h, err
	}
	addresses, ok := membersOf(elements)
	if !ok {
		h.Fault = "its set has pairs of different addresses"
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	h.Members = strings.Join(texts, " ")
	return h, nil
}

// readChains returns the source that they have, and what is wrong with them.
func readChains(c *nftables.Conn) (source netip.Addr, fault string, err error) {
	all, err := c.ListChainsOfTableFamily(table.Family)
	if err != nil {
		return source, "", err
	}
	found := map[string]*nftables.Chain{}
	for _, chain := range all {
		if chain.Table != nil && chain.Table.Name == table.Name {
			found[chain.Name] = chain
		}
	}
	have := map[string][]expr.Any{}
	for _, chain := range chains() {
		there := found[chain.Name]
		if there == nil || !sameHook(chain, there) {
			return source, fmt.Sprintf("its chain %s is missing, or at another place", chain.Name), nil
		}
		rules, err := c.GetRules(table, chain)
		if err != nil {
			return source, "", err
		}
		if len(rules) != 1 {
			return source, fmt.Sprintf("its chain %s has %d rules", chain.Name, len(rules)), nil
		}
		have[chain.Name] = rules[0].Exprs
	}
	if source = sourceOf(have[out]); !source.IsValid() || !reflect.DeepEqual(have, rules(source)) {
		return source, "its rules are not the mesh's", nil
	}
	if len(found) != len(have) {
		return source, "it has a chain that is not the mesh's", nil
	}
	return source, "", nil
}

func sameHook(a, b *nftables.Chain) bool {
	return a.Type == b.Type && b.Hooknum != nil && *a.Hooknum == *b.Hooknum && b.Priority != nil && *a.Priority == *b.Priority && b.Policy != nil && *a.Policy == *b.Policy
}
