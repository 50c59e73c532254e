package compose

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// checkCycles refuses an anchor that is part of itself, which the library follows for minutes.
func checkCycles(text string) error {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := follow(&document, nil, map[*yaml.Node]bool{}); err != nil {
			return err
		}
	}
}

// follow visits each node once. above are those that n is in.
func follow(n *yaml.Node, above []*yaml.Node, seen map[*yaml.Node]bool) error {
	if slices.Contains(above, n) {
		return fmt.Errorf("line %d: the anchor %q is part of itself", n.Line, n.Anchor)
	}
	if seen[n] {
		return nil
	}
	seen[n] = true
	above = append(above, n)
	if n.Alias != nil {
		return follow(n.Alias, above, seen)
	}
	for _, part := range n.Content {
		if err := follow(part, above, seen); err != nil {
			return err
		}
	}
	return nil
}
