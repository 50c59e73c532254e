package mesh

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// NodeList is names of nodes, sorted, each once. It can be compared; "" is every node.
type NodeList string

// MaxListedNodes is how many nodes one list may have.
const MaxListedNodes = 256

// ParseNodeList reads names of nodes, whether the cluster has them or not: a node may leave
// and come back.
func ParseNodeList(names []string) (NodeList, error) {
	if len(names) > MaxListedNodes {
		return "", fmt.Errorf("%d nodes are too many: at most %d can be listed", len(names), MaxListedNodes)
	}
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return "", err
		}
	}
	sorted := slices.Sorted(slices.Values(names))
	return NodeList(strings.Join(slices.Compact(sorted), ",")), nil
}

// Names are the nodes' names, none for every node.
func (l NodeList) Names() []string {
	if l == "" {
		return nil
	}
	return strings.Split(string(l), ",")
}

// Has says that the node is in the list.
func (l NodeList) Has(node string) bool { return l == "" || slices.Contains(l.Names(), node) }

// MarshalJSON writes a list.
func (l NodeList) MarshalJSON() ([]byte, error) { return json.Marshal(l.Names()) }

// UnmarshalJSON reads a list.
func (l *NodeList) UnmarshalJSON(data []byte) error {
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	list, err := ParseNodeList(names)
	*l = list
	return err
}

// check says what is wrong with a list that somebody has put together otherwise.
func (l NodeList) check() error {
	if l == "" { // of most ports, of which there may be thousands
		return nil
	}
	again, err := ParseNodeList(l.Names())
	if err == nil && again != l {
		err = fmt.Errorf("the nodes %s are not sorted", l)
	}
	return err
}
