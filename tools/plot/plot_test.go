package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure/figuretest"
)

func TestSVG(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := svg(&out, figuretest.Figures()); err != nil {
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
	if err := svg(io.Discard, figuretest.Figures()[4:]); err == nil {
		t.Error("an empty plot is no error")
	}
}
