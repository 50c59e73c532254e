// Package figure is what every part of `make bench` prints: one JSON object per line, each with something
// of the same run to compare it with, because the machine and its emulation are different everywhere.
package figure

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Figure is one line.
type Figure struct {
	// Part is "datapath", "control", "agent", "fleet" or "swarm".
	Part string `json:"part"`
	// Name says what was measured, "plan" or "requests"; with Case it is unique in a run.
	Name string `json:"name"`
	// Case are the conditions: "ports": "1000", "way": "other node".
	Case map[string]string `json:"case,omitempty"`
	// Value is the median of Runs.
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Runs  int     `json:"runs,omitempty"`
	// Base is the same of what Value is compared with, in the same run: Terraform with a provider that does
	// nothing, a client that goes to the endpoint itself. Nil where a figure stands for itself.
	Base *float64 `json:"base,omitempty"`
	// Compared is what Goal is about: Value, or Value - Base, or Value / Base.
	Compared float64 `json:"compared"`
	// Goal is "" or a comparison: "<= 1", ">= 0.65".
	Goal string `json:"goal,omitempty"`
	Met  *bool  `json:"met,omitempty"`
}

// Emit takes figures as they are measured.
type Emit func(...Figure) error

// Plain is a figure that stands for itself.
func Plain(part, name string, conditions map[string]string, value float64, unit string) Figure {
	return Figure{Part: part, Name: name, Case: conditions, Value: value, Unit: unit, Compared: value}
}

// Over compares with a floor: what is left of the figure above it counts.
func (f Figure) Over(base float64) Figure { f.Base, f.Compared = &base, f.Value-base; return f }

// Ratio compares as a share of a base.
func (f Figure) Ratio(base float64) Figure { f.Base, f.Compared = &base, f.Value/base; return f }

// Want sets the goal, "<= N" or ">= N", and whether it is met. It panics on another goal: that is a mistake
// in the program.
func (f Figure) Want(goal string) Figure {
	op, number, _ := strings.Cut(goal, " ")
	limit, err := strconv.ParseFloat(number, 64)
	if err != nil || op != "<=" && op != ">=" {
		panic(fmt.Sprintf("goal %q", goal))
	}
	met := op == "<=" && f.Compared <= limit || op == ">=" && f.Compared >= limit
	f.Goal, f.Met = goal, &met
	return f
}

// Write prints the figure as a line.
func (f Figure) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(f)
}
