package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// writeServing shows what gets no new connections on this node for the moment, and
// why: endpoints that fail their checks, and those that drain.
func writeServing(page *term.Page, st *mesh.Status, drains []mesh.Drain) {
	var rows [][]term.Cell
	for _, e := range st.Unhealthy {
		reason := e.Reason
		if e.Health == mesh.UnhealthyKept {
			reason += "; all of its port fail, so all are used"
		}
		rows = append(rows, append(term.Cells(e.Service, e.Endpoint, e.Address.String()), term.Cell{Text: reason, Style: term.Bad}))
	}
	section(page, "Endpoints that fail their check:", "SERVICE\tENDPOINT\tADDRESS\tREASON", rows)
	rows = nil
	for _, d := range drains {
		remaining := (time.Duration(d.RemainingMillis) * time.Millisecond).Round(time.Second)
		address := d.Address.String()
		if d.Address.Port() == 0 { // all ports of a range
			address = d.Address.Addr().String()
		}
		rows = append(rows, term.Cells(d.Port.Plain().String(), d.Service, d.Endpoint, address, fmt.Sprintf("%d, %d closing", d.Active, d.Inactive), remaining.String()))
	}
	section(page, "Endpoints that drain:", "PORT\tSERVICE\tENDPOINT\tADDRESS\tCONNECTIONS\tENDS WITHIN", rows)
}

// section is a table with a title; none without rows.
func section(page *term.Page, title, head string, rows [][]term.Cell) {
	if len(rows) == 0 {
		return
	}
	page.Line(term.Plain, "")
	page.Line(term.Head, title)
	page.Table(strings.Split(head, "\t"), rows)
}

func writePorts(page *term.Page, rec *mesh.Record) {
	var rows [][]term.Cell
	for _, key := range slices.SortedFunc(maps.Keys(rec.Ports), mesh.PortKey.Compare) {
		port := rec.Ports[key]
		live := term.Cell{Text: endpoints(rec, port)}
		if live.Text == "" {
			live = term.Cell{Text: "none: connections are refused", Style: term.Worth}
		}
		rows = append(rows, append(term.Cells(port.Name(), modeOf(port), balanceOf(rec.Services[port.Service])), live))
	}
	page.Line(term.Plain, "")
	page.Table([]string{"PORT", "MODE", "SERVICE", "ENDPOINTS"}, rows)
}

// modeOf adds to the mode what is not the default.
func modeOf(port *mesh.PublishedPort) string {
	mode := string(port.Mode)
	if port.Locality != mesh.AnyEndpoint {
		mode += ", " + string(port.Locality)
	}
	if port.OnePacket {
		mode += ", one_packet"
	}
	if port.AllowedCIDRs != "" {
		mode += ", from " + strings.Join(port.AllowedCIDRs.Strings(), " ")
	}
	if port.ClientAddress == mesh.Preserve {
		mode += ", preserves the client's address"
	}
	if port.Nodes != "" {
		mode += ", on " + strings.Join(port.Nodes.Names(), " ")
	}
	if port.Listen != "" {
		mode += ", at " + strings.Join(port.Listen.AddressTexts(), " ")
	}
	return mode
}

// balanceOf adds to the service's name what is not the default.
func balanceOf(service *mesh.Service) string {
	var how []string
	if service.SchedulerName() != mesh.DefaultScheduler {
		how = append(how, service.SchedulerName())
	}
	if a := service.Affinity; a != nil {
		how = append(how, fmt.Sprintf("affinity %s", time.Duration(a.TimeoutSeconds)*time.Second))
	}
	if len(how) == 0 {
		return service.Name
	}
	return fmt.Sprintf("%s (%s)", service.Name, strings.Join(how, ", "))
}

// endpoints is where a port leads, "" for nowhere.
func endpoints(rec *mesh.Record, port *mesh.PublishedPort) string {
	service := rec.Services[port.Service]
	var live []string
	for _, name := range rec.LiveEndpoints(service) {
		e := service.Endpoints[name]
		text := fmt.Sprintf("%s:%d", e.Node, port.TargetFor(e))
		if port.IsRange() {
			text = fmt.Sprintf("%s:%s", e.Node, port.TargetRange())
		}
		if e.Share() != mesh.DefaultWeight {
			text += fmt.Sprintf("(weight%s%d)", term.Together, e.Share())
		}
		if !rec.Nodes[e.Node].Serving() {
			text += "(node" + term.Together + "drains)"
		}
		live = append(live, text)
	}
	return strings.Join(live, " ")
}
