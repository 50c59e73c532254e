package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What the record has, in tables, as Docker's `service ls`, `service ps`, `network ls` and `node ls`
// have it.

// serviceRow is a service.
type serviceRow struct {
	Name      string   `json:"name"`
	Scheduler string   `json:"scheduler"`
	Endpoints int      `json:"endpoints"`
	Slots     int      `json:"slots"`
	Filled    int      `json:"filled_slots"`
	Ports     []string `json:"ports"`
	VIP       string   `json:"vip,omitempty"`
	Networks  []string `json:"networks,omitempty"`
}

// endpointRow is an endpoint, or a slot of one.
type endpointRow struct {
	Service   string `json:"service"`
	Endpoint  string `json:"endpoint"`
	Node      string `json:"node"`
	Address   string `json:"address"`
	State     string `json:"state"`
	Container string `json:"container,omitempty"`
	Engine    string `json:"engine,omitempty"`
}

// nodeRow is a node.
type nodeRow struct {
	Name         string `json:"name"`
	Address      string `json:"address"`
	Block        string `json:"overlay"`
	Availability string `json:"availability"`
	Self         bool   `json:"self"`
	Endpoints    int    `json:"endpoints"`
}

// active is the availability of a node that the record has no other for.
const active = "active"

// known is what the lists are made of.
type known struct {
	*mesh.Status
	slots []mesh.Slot
}

// know asks the agent.
func (r *Reporter) know(ctx context.Context) (known, error) {
	st, err := r.agent().Status(ctx)
	if err != nil {
		return known{}, err
	}
	if st.Record == nil {
		return known{}, errors.New("this host has no record: it is not part of a cluster")
	}
	var slots mesh.Slots
	err = r.agent().Ask(ctx, http.MethodGet, mesh.PathSlots, nil, &slots)
	return known{st, slots.Slots}, err
}

// Services lists the services.
func (r *Reporter) Services(ctx context.Context, asJSON bool) error {
	all, err := r.know(ctx)
	if err != nil {
		return err
	}
	rows := all.services()
	if asJSON {
		return r.writeJSON(rows)
	}
	head, networks := []string{"NAME", "SCHEDULER", "ENDPOINTS", "CONTAINERS", "PORTS"}, all.Record.HasNetworks()
	if networks { // in the place of the scheduler, for whose column there is no room
		head = slices.Replace(head, 1, 2, "VIP", "NETWORKS")
	}
	return writeTable(r.Stdout, strings.Join(head, "\t"), rows, func(s serviceRow) string {
		containers := "-"
		if s.Slots > 0 {
			containers = fmt.Sprintf("%d/%d", s.Filled, s.Slots)
		}
		cells := []string{s.Name, s.Scheduler, strconv.Itoa(s.Endpoints), containers, strings.Join(s.Ports, " ")}
		if networks {
			cells = slices.Replace(cells, 1, 2, s.vip(), listed(s.Networks))
		}
		return strings.Join(cells, "\t")
	})
}

// Endpoints lists where a service, or each of them ("") answers.
func (r *Reporter) Endpoints(ctx context.Context, service string, asJSON bool) error {
	all, err := r.know(ctx)
	if err != nil {
		return err
	}
	if service != "" && all.Record.Services[service] == nil {
		return fmt.Errorf("the cluster has no service %q; it has %s", service, strings.Join(slices.Sorted(maps.Keys(all.Record.Services)), ", "))
	}
	rows := all.endpoints(service)
	if asJSON {
		return r.writeJSON(rows)
	}
	return writeTable(r.Stdout, "SERVICE\tENDPOINT\tNODE\tADDRESS\tSTATE\tCONTAINER", rows, func(e endpointRow) string {
		container := "-"
		if e.Container != "" {
			container = fmt.Sprintf("%s (%s)", e.Container, e.Engine)
		}
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", e.Service, e.Endpoint, e.Node, e.Address, e.State, container)
	}, func(e endpointRow) (int, term.Style) {
		switch {
		case strings.Contains(e.State, unhealthy):
			return 4, term.Bad
		case e.State == string(mesh.SlotEmpty) || e.State == string(mesh.SlotSilent):
			return 4, term.Worth
		}
		return 4, term.Plain
	})
}

// Nodes lists the nodes.
func (r *Reporter) Nodes(ctx context.Context, asJSON bool) error {
	all, err := r.know(ctx)
	if err != nil {
		return err
	}
	rows := all.nodes()
	if asJSON {
		return r.writeJSON(rows)
	}
	return writeTable(r.Stdout, "NAME\tADDRESS\tOVERLAY\tAVAILABILITY\tENDPOINTS", rows, func(n nodeRow) string {
		name := n.Name
		if n.Self {
			name += term.Together + "*"
		}
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%d", name, n.Address, n.Block, n.Availability, n.Endpoints)
	}, func(n nodeRow) (int, term.Style) {
		if n.Availability != active {
			return 3, term.Worth
		}
		return 3, term.Plain
	})
}

// writeTable shows rows, whose cells a tab separates. state says which cell has the row's state, and how it is shown.
func writeTable[R any](out io.Writer, head string, rows []R, line func(R) string, state ...func(R) (cell int, style term.Style)) error {
	columns := strings.Split(head, "\t")
	var cells [][]term.Cell
	for _, row := range rows {
		texts := term.Cells(strings.SplitN(line(row), "\t", len(columns))...)
		for _, of := range state {
			cell, style := of(row)
			texts[cell].Style = style
		}
		cells = append(cells, texts)
	}
	page := term.On(out)
	page.Table(columns, cells)
	return page.Show()
}

func (k known) services() []serviceRow {
	rows := []serviceRow{}
	for _, name := range slices.Sorted(maps.Keys(k.Record.Services)) {
		s := k.Record.Services[name]
		row := serviceRow{Name: name, Scheduler: s.SchedulerName(), Endpoints: len(k.Record.LiveEndpoints(s)), Ports: []string{}}
		for _, p := range k.Record.ServicePorts(name) {
			row.Ports = append(row.Ports, p.Key().Plain().String())
		}
		if row.Networks = s.NetworkSet().Names(); s.VIP.IsValid() {
			row.VIP = s.VIP.String()
		}
		for _, slot := range k.slots {
			if slot.Service == name {
				row.Slots++
				if slot.State == mesh.SlotFilled {
					row.Filled++
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (k known) endpoints(service string) []endpointRow {
	rows := []endpointRow{}
	for _, name := range slices.Sorted(maps.Keys(k.Record.Services)) {
		if service != "" && name != service {
			continue
		}
		s := k.Record.Services[name]
		for _, key := range k.Record.LiveEndpoints(s) {
			rows = append(rows, k.endpoint(s, key)...)
		}
	}
	return rows
}

func (k known) endpoint(s *mesh.Service, key string) (rows []endpointRow) {
	e := s.Endpoints[key]
	if e.Container == nil {
		return []endpointRow{{
			Service: s.Name, Endpoint: key, Node: e.Node, Address: k.Record.Nodes[e.Node].HostAddress().String(), State: k.state(s.Name, key, "process"),
		}}
	}
	for _, slot := range k.slots {
		if slot.Service == s.Name && slot.Endpoint == key {
			rows = append(rows, endpointRow{
				Service: s.Name, Endpoint: key, Node: slot.Node, Address: slot.Address.String(), State: k.state(s.Name, key, string(slot.State), slot.Address.String()),
				Container: slot.Container, Engine: slot.Engine,
			})
		}
	}
	return rows
}

// unhealthy stands between the state of an endpoint and why it fails.
const unhealthy = ", unhealthy: "

// state adds that this node's checks of the endpoint, or of its container at an address, fail.
func (k known) state(service, endpoint, state string, at ...string) string {
	for _, u := range k.Unhealthy {
		if u.Service == service && u.Endpoint == endpoint && (len(at) == 0 || u.Address.Addr().String() == at[0]) {
			return state + unhealthy + u.Reason
		}
	}
	return state
}

func (k known) nodes() []nodeRow {
	rows := []nodeRow{}
	for _, name := range k.Record.NodeNames() {
		n := k.Record.Nodes[name]
		row := nodeRow{Name: name, Address: n.Address.String(), Block: n.Block.String(), Availability: cmp.Or(string(n.Availability), active), Self: name == k.Node}
		for _, s := range k.Record.Services {
			for _, e := range s.Endpoints {
				if e.Node == name {
					row.Endpoints++
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}
