package datapath

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

// allowed is how much a share may fall below what it was. Two runs of the same thing differ by less.
const allowed = 0.03

// Compare compares the shares of the figures, by metric and way, with those that the file has; update writes it instead.
// A share that fell by more than is allowed, or is not there any more, is an error.
func Compare(file string, figures []figure.Figure, update bool) error {
	now := shares(figures)
	if update {
		b, err := json.MarshalIndent(now, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(file, append(b, '\n'), 0o644)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var before map[string]map[string]float64
	if err := json.Unmarshal(b, &before); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return fallen(before, now)
}

// shares of what a client has that goes to the endpoint itself, by metric and way.
func shares(figures []figure.Figure) map[string]map[string]float64 {
	all := map[string]map[string]float64{}
	for _, f := range figures {
		if way := f.Case["way"]; f.Part == "datapath" && f.Base != nil && isShare(f) && (way == Local || way == OtherNode) {
			if all[f.Name] == nil {
				all[f.Name] = map[string]float64{}
			}
			all[f.Name][way] = float64(int(f.Compared*1000+0.5)) / 1000
		}
	}
	return all
}

func fallen(before, now map[string]map[string]float64) error {
	var errs []error
	for metric, ways := range before {
		for way, was := range ways {
			switch is, measured := now[metric][way]; {
			case !measured:
				errs = append(errs, fmt.Errorf("%s, %s: was not measured", metric, way))
			case is < was-allowed:
				errs = append(errs, fmt.Errorf("%s, %s: %.3f of direct's, and was %.3f", metric, way, is, was))
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("the data path costs more than it did. Look at what a packet passes that it did not pass before; if the cost is worth it, "+
		"write the new shares with -update, and say why in the commit:\n%s", strings.TrimSpace(errors.Join(errs...).Error()))
}
