package report

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// networkRow is a network.
type networkRow struct {
	Name     string   `json:"name"`
	Identity uint16   `json:"identity"`
	Services []string `json:"services"`
	// Hosts are the nodes whose processes are members; every node is "*".
	Hosts []string `json:"hosts"`
	// Here and Everywhere count its containers that run, on this node and on all.
	Here       int `json:"containers_here"`
	Everywhere int `json:"containers"`
}

// Networks lists the networks.
func (r *Reporter) Networks(ctx context.Context, asJSON bool) error {
	all, err := r.know(ctx)
	if err != nil {
		return err
	}
	rows := all.networks()
	if asJSON {
		return r.writeJSON(rows)
	}
	return writeTable(r.Stdout, "NAME\tIDENTITY\tHERE\tEVERYWHERE\tHOSTS\tSERVICES", rows, func(n networkRow) string {
		return strings.Join([]string{n.Name, strconv.Itoa(int(n.Identity)), strconv.Itoa(n.Here), strconv.Itoa(n.Everywhere), listed(n.Hosts), listed(n.Services)}, "\t")
	})
}

func (k known) networks() []networkRow {
	rows := []networkRow{}
	for _, name := range k.Record.NetworkNames() {
		row := networkRow{Name: name, Services: []string{}, Hosts: []string{}}
		row.Identity, _ = k.Record.Identity(mesh.NewNetworkSet(name))
		members := map[string]bool{}
		for _, s := range k.Record.Members(name) {
			row.Services, members[s.Name] = append(row.Services, s.Name), true
		}
		if slices.Contains(k.Record.Networks[name].Hosts, mesh.EveryHost) {
			row.Hosts = []string{mesh.EveryHost}
		} else {
			for _, node := range k.Record.NodeNames() {
				if k.Record.HostNetworks(node).Has(name) {
					row.Hosts = append(row.Hosts, node)
				}
			}
		}
		for _, slot := range k.slots {
			if !members[slot.Service] || slot.State != mesh.SlotFilled {
				continue
			}
			row.Everywhere++
			if slot.Node == k.Node {
				row.Here++
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// vip is where members of its networks find the service, "-" for a service in none.
func (s serviceRow) vip() string {
	switch {
	case s.VIP != "":
		return s.VIP
	case len(s.Networks) > 0:
		return string(mesh.EndpointDNSRR)
	}
	return "-"
}

// listed is words with commas between them, "-" for none.
func listed(words []string) string { return cmp.Or(strings.Join(words, ", "), "-") }
