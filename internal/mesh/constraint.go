package mesh

import (
	"fmt"
	"net/netip"
	"strings"
)

// constraint is one condition on the nodes that may run a task, in Swarm's grammar: a field
// of the node, == or !=, and a value, whose case does not count.
type constraint struct {
	// field is "name", "ip" or "labels"; key is the label.
	field, key string
	value      string
	not        bool
}

const nodeLabels = "node.labels."

// NormalConstraint is the constraint as the record has it: without spaces around its parts.
func NormalConstraint(s string) (string, error) {
	c, err := parseConstraint(s)
	if err != nil {
		return "", err
	}
	return c.String(), nil
}

func parseConstraint(s string) (constraint, error) {
	field, value, ok := strings.Cut(s, "==")
	not := false
	if before, after, other := strings.Cut(s, "!="); other && (!ok || len(before) < len(field)) {
		field, value, ok, not = before, after, true, true
	}
	field, value = strings.TrimSpace(field), strings.TrimSpace(value)
	c := constraint{value: value, not: not}
	switch {
	case !isText(s) || strings.ContainsAny(s, "\n\t"):
		return c, fmt.Errorf("a constraint must not have control characters or more than %d bytes: %.80q", maxText, s)
	case !ok || field == "" || value == "":
		return c, fmt.Errorf("%q is no constraint: want FIELD==VALUE or FIELD!=VALUE, as in node.labels.disk==ssd", s)
	case strings.HasPrefix(value, "=") || strings.Contains(value, "==") || strings.Contains(value, "!="):
		return c, fmt.Errorf("%q has more than one comparison: write one constraint for each", s)
	case field == "node.name", field == "node.hostname":
		c.field = "name"
	case field == "node.ip":
		c.field = "ip"
		if _, err := addressOrPrefix(value); err != nil {
			return c, fmt.Errorf("%q compares the node's address with %q, which is neither an address nor a prefix such as 192.0.2.0/24", s, value)
		}
	case isLabelKey(field):
		c.field, c.key = "labels", strings.TrimPrefix(field, nodeLabels)
	default:
		return c, fmt.Errorf("%q is about %q, which is nothing of a node: want node.labels.KEY (of the node's labels), node.name or node.ip", s, field)
	}
	return c, nil
}

// isLabelKey says that the text names a label of nodes: "node.labels.zone".
func isLabelKey(s string) bool {
	key, ok := strings.CutPrefix(s, nodeLabels)
	return ok && key != "" && isText(key) && !strings.ContainsAny(key, " \n\t=!")
}

func addressOrPrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// String is the constraint in Swarm's grammar.
func (c constraint) String() string {
	op, field := "==", "node."+c.field
	if c.not {
		op = "!="
	}
	if c.field == "labels" {
		field = nodeLabels + c.key
	}
	return field + op + c.value
}

// fits says that the node may run a task by this constraint. A label that a node does not
// have is not equal to anything.
func (c constraint) fits(n *Node) bool {
	var equal bool
	switch c.field {
	case "name":
		equal = strings.EqualFold(n.Name, c.value)
	case "ip":
		if prefix, err := addressOrPrefix(c.value); err == nil {
			equal = prefix.Contains(n.Address)
		}
	default:
		value, ok := n.Labels[c.key]
		equal = ok && strings.EqualFold(value, c.value)
	}
	return equal != c.not
}

// excludes says why the node does not fit: "placement has node.labels.disk==ssd, and it has disk = hdd".
func (c constraint) excludes(n *Node) string {
	has := "it is " + n.Name
	switch value, ok := n.Labels[c.key]; {
	case c.field == "ip":
		has = "its address is " + n.Address.String()
	case c.field == "labels" && !ok:
		has = "it has no label " + c.key
	case c.field == "labels":
		has = fmt.Sprintf("its label %s is %q", c.key, value)
	}
	return fmt.Sprintf("%s (%s)", c, has)
}
