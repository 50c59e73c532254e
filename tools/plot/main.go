// Command plot draws what make bench has printed: figures on stdin, an SVG on stdout. It is a module of its own, so that what it draws with is
// nothing that the provider depends on.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/report"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "plot: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	figures, err := report.Read(in)
	if err != nil {
		return err
	}
	return svg(out, figures)
}
