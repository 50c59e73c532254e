package report

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/node"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/trace"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Trace shows a packet's way on this node to a published port. It reads the
// kernel itself, so it works without the agent. from is the address of a client to ask
// about, "" for none.
func (r *Reporter) Trace(ctx context.Context, port, from string, asJSON bool) error {
	client, err := clientToTrace(from)
	if err != nil {
		return err
	}
	if err := r.NeedRoot("reading the kernel's state"); err != nil {
		return err
	}
	stored, err := server.NewStore(r.StateDir()).Read()
	if err != nil {
		fmt.Fprintf(r.Stderr, "routingmesh-agent: the record on disk cannot be read, so names are missing: %v\n", err)
		stored = server.Stored{}
	}
	key, at, err := portToTrace(stored.Record, port)
	if err != nil {
		return err
	}
	k, err := node.OpenKernel(r.Layout, r.Log)
	if err != nil {
		return err
	}
	defer k.Close()
	facts := &trace.Facts{Record: stored.Record, Node: stored.Node, From: client, At: at, Listening: node.Host(r.Layout).Listening}
	if facts.Addresses, err = host.Addresses(); err != nil {
		fmt.Fprintf(r.Stderr, "routingmesh-agent: the host's addresses cannot be read: %v\n", err)
	}
	if err := facts.Gather(ctx, k); err != nil {
		return fmt.Errorf("read the kernel's state: %w", err)
	}
	var counters mesh.Counters
	if err := r.agent().Ask(ctx, http.MethodGet, mesh.PathCounters, nil, &counters); err == nil {
		facts.Counters = &counters // without an agent the trace does without
		facts.Warnings = r.warned(ctx, stored)
	}
	t := trace.Of(facts, key)
	if asJSON {
		err = r.writeJSON(t)
	} else {
		err = t.Write(r.Stdout)
	}
	if err == nil && !t.Through() {
		err = ErrBroken
	}
	return err
}

// warned is what the agent warns of, none where it cannot be asked.
func (r *Reporter) warned(ctx context.Context, stored server.Stored) []mesh.Warning {
	path := mesh.PathStatus
	if stored.Record != nil {
		path += "?known=" + stored.Record.Hash() // which is not sent again then
	}
	var st mesh.Status
	if err := r.agent().Ask(ctx, http.MethodGet, path, nil, &st); err != nil {
		fmt.Fprintf(r.Stderr, "routingmesh-agent: the agent does not say what it warns of: %v\n", err)
	}
	return st.Warnings
}

// CheckPort says what is wrong with the argument that names the port of a trace.
func CheckPort(port string) error {
	_, _, err := portToTrace(nil, port)
	return err
}

// CheckClient says what is wrong with the address of the client of a trace.
func CheckClient(from string) error {
	_, err := clientToTrace(from)
	return err
}

func clientToTrace(from string) (netip.Addr, error) {
	if from == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(from)
	if a = a.Unmap(); err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("--from %q is not an IPv4 address: want one as in 192.0.2.7", from)
	}
	return a, nil
}

// portToTrace reads "8080", "8080/tcp", "53/udp" or one of them at an address of the host,
// "192.0.2.7:8080". Without a protocol it is tcp, or udp where only that is published. The
// address says which port is meant where several have the number.
func portToTrace(rec *mesh.Record, text string) (key mesh.PortKey, at netip.Addr, err error) {
	port := text
	if address, rest, ok := strings.Cut(text, ":"); ok {
		if at, err = netip.ParseAddr(address); err != nil || !at.Is4() {
			return key, at, fmt.Errorf("%q is not a port at an address: want ADDRESS:PORT, as in 192.0.2.7:8080", text)
		}
		port = rest
	}
	if key, err = plainPort(rec, port); err != nil || rec == nil {
		return key, at, err
	}
	ports := rec.PortsOver(key)
	if i := slices.IndexFunc(ports, func(p *mesh.PublishedPort) bool { return at.IsValid() && !p.IsRange() && p.Listen.Has(at) }); i >= 0 {
		return ports[i].Key(), at, nil
	}
	switch {
	case len(ports) == 0 || ports[0].IsRange():
		return key, at, nil
	case len(ports) == 1 || at.IsValid():
		return ports[0].Key(), at, nil
	}
	var which []string
	for _, p := range ports {
		which = append(which, fmt.Sprintf("service %s at %s", p.Service, strings.Join(p.Listen.AddressTexts(), " ")))
	}
	return key, at, fmt.Errorf("several services publish port %s: %s. Name the address that clients connect to: `routingmesh-agent trace ADDRESS:%s`", key, strings.Join(which, ", "), port)
}

func plainPort(rec *mesh.Record, port string) (mesh.PortKey, error) {
	if strings.Contains(port, "/") {
		return mesh.ParsePortKey(port)
	}
	key, err := mesh.ParsePortKey(port + "/" + string(mesh.TCP))
	if err != nil {
		return key, fmt.Errorf("%q is no port: want PORT or PORT/PROTOCOL, as in 8080 or 53/udp", port)
	}
	udp := mesh.PortKey{Port: key.Port, Protocol: mesh.UDP}
	if rec != nil && rec.PortOver(key) == nil && rec.PortOver(udp) != nil {
		return udp, nil
	}
	return key, nil
}
