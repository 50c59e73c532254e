package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// writeServing shows who gets no new connections on this node for the moment, and
// why: endpoints that fail their checks, and such as are on their way out.
func writeServing(out io.Writer, st *mesh.Status, drains []mesh.Drain) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(st.Unhealthy) > 0 {
		fmt.Fprintf(w, "\nEndpoints that fail their check:\nSERVICE\tENDPOINT\tADDRESS\tREASON\n")
	}
	for _, e := range st.Unhealthy {
		reason := e.Reason
		if e.Health == mesh.UnhealthyKept {
			reason += "; all of its port fail, so all are used"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Service, e.Endpoint, e.Address, reason)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(drains) > 0 {
		fmt.Fprintf(w, "\nEndpoints that drain:\nPORT\tSERVICE\tENDPOINT\tADDRESS\tCONNECTIONS\tENDS WITHIN\n")
	}
	for _, d := range drains {
		remaining := (time.Duration(d.RemainingMillis) * time.Millisecond).Round(time.Second)
		address := d.Address.String()
		if d.Address.Port() == 0 { // all ports of a range
			address = d.Address.Addr().String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d, %d closing\t%s\n", d.Port.Plain(), d.Service, d.Endpoint, address, d.Active, d.Inactive, remaining)
	}
	return w.Flush()
}

func writePorts(out io.Writer, rec *mesh.Record) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nPORT\tMODE\tSERVICE\tENDPOINTS\n")
	for _, key := range slices.SortedFunc(maps.Keys(rec.Ports), mesh.PortKey.Compare) {
		port := rec.Ports[key]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", port.Name(), modeOf(port), balanceOf(rec.Services[port.Service]), endpoints(rec, port))
	}
	return w.Flush()
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
			text += fmt.Sprintf("(weight %d)", e.Share())
		}
		if !rec.Nodes[e.Node].Serving() {
			text += "(node drains)"
		}
		live = append(live, text)
	}
	return cmp.Or(strings.Join(live, " "), "none: connections are refused")
}
