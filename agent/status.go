package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// fetchStatus asks the agent on the socket.
func (p *program) fetchStatus(ctx context.Context) (*mesh.Status, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+mesh.PathStatus, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the agent's status: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal mesh.Refusal
		if json.Unmarshal(body, &refusal) == nil && refusal.Text != "" {
			return nil, &refusal
		}
		return nil, fmt.Errorf("the agent answered %s", resp.Status)
	}
	var st mesh.Status
	if err := json.Unmarshal(body, &st); err != nil {
		return nil, fmt.Errorf("read the agent's status: %w", err)
	}
	return &st, nil
}

func (p *program) status(ctx context.Context, asJSON bool) error {
	st, err := p.fetchStatus(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		return e.Encode(st)
	}
	return writeStatus(p.stdout, st)
}

// writeStatus shows a status to a person.
func writeStatus(out io.Writer, st *mesh.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Agent\t%s (%.12s), Linux %s %s\n", st.Version, st.BinarySHA256, st.Host.KernelRelease, st.Host.Arch)
	if st.Record == nil {
		fmt.Fprintf(w, "Cluster\tnone: this host has no record\n")
	} else {
		writeRecord(w, st)
	}
	if len(st.Problems) == 0 && st.Record != nil {
		fmt.Fprintf(w, "Kernel\tas the record asks\n")
	}
	for i, problem := range st.Problems {
		label := ""
		if i == 0 {
			label = "Problems"
		}
		fmt.Fprintf(w, "%s\t%s: %s\n", label, problem.Object, problem.Text)
	}
	if err := w.Flush(); err != nil || st.Record == nil || len(st.Record.Ports) == 0 {
		return err
	}
	return writePorts(out, st.Record)
}

func writeRecord(w io.Writer, st *mesh.Status) {
	rec := st.Record
	fmt.Fprintf(w, "Cluster\t%s (%s), %d nodes\n", rec.Cluster.Name, rec.UID, len(rec.Nodes))
	if n := rec.Nodes[st.Node]; n != nil {
		fmt.Fprintf(w, "Node\t%s, %s, overlay %s\n", n.Name, n.Address, n.Block)
	} else {
		fmt.Fprintf(w, "Node\tnone: this host only keeps the record\n")
	}
	applied := "applied"
	if st.AppliedGeneration != st.Generation {
		applied = fmt.Sprintf("last applied whole: %d", st.AppliedGeneration)
	}
	fmt.Fprintf(w, "Generation\t%d (%.12s), %s\n", st.Generation, st.Hash, applied)
}

func writePorts(out io.Writer, rec *mesh.Record) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nPORT\tMODE\tSERVICE\tENDPOINTS\n")
	for _, key := range slices.SortedFunc(maps.Keys(rec.Ports), mesh.PortKey.Compare) {
		port := rec.Ports[key]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", key, port.Mode, port.Service, endpoints(rec, port))
	}
	return w.Flush()
}

func endpoints(rec *mesh.Record, port *mesh.PublishedPort) string {
	service := rec.Services[port.Service]
	var live []string
	for _, name := range rec.LiveEndpoints(service) {
		e := service.Endpoints[name]
		live = append(live, fmt.Sprintf("%s:%d", e.Node, port.TargetFor(e)))
	}
	if len(live) == 0 {
		return "none: connections are refused"
	}
	return strings.Join(live, " ")
}
