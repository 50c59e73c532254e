// Command monitoring prints the Grafana dashboard of examples/monitoring. It is made by code, so that panels do not overlap and are
// alike; the tests beside it check the dashboard and the alert rules against the metrics that the agent has.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(dashboard()); err != nil {
		fmt.Fprintln(os.Stderr, "monitoring:", err)
		os.Exit(1)
	}
}
