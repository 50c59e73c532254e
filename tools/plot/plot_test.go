package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

func figures() []figure.Figure {
	return []figure.Figure{
		figure.Plain("datapath", "requests", map[string]string{"way": "other node"}, 1204.4, "1/s").Ratio(2000).Want(">= 0.65"),
		figure.Plain("datapath", "requests", map[string]string{"way": "entry node"}, 1700, "1/s").Ratio(2000).Want(">= 0.8"),
		figure.Plain("agent", "one port", map[string]string{"ports": "100", "nodes": "10"}, 1.25, "ms").Want("<= 50"),
		figure.Plain("agent", "one port", map[string]string{"ports": "5000", "nodes": "10"}, 20.5, "ms").Want("<= 50"),
		figure.Plain("agent", "binary", nil, 11.8, "MiB"),
	}
}

func TestSVG(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := svg(&out, figures()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"other node", "entry node", "requests", "one port, 10 nodes", "agent: ms over ports"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the plot", want)
		}
	}
	if strings.Contains(out.String(), "over nodes") {
		t.Error("a panel over the nodes, though there is one number of them only")
	}
	d := xml.NewDecoder(&out)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := svg(io.Discard, figures()[4:]); err == nil {
		t.Error("an empty plot is no error")
	}
}
