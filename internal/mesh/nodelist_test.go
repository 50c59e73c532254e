package mesh

import (
	"encoding/json"
	"testing"
)

func TestNodeList(t *testing.T) {
	t.Parallel()
	l, err := ParseNodeList([]string{"n2", "n1", "n2"})
	if err != nil || l != "n1,n2" || !l.Has("n2") || l.Has("n") || l.Has("n3") {
		t.Errorf("%q, %v", l, err)
	}
	if every, err := ParseNodeList(nil); err != nil || every != "" || !every.Has("n9") {
		t.Errorf("%q, %v", every, err)
	}
	var again NodeList
	text, err := json.Marshal(l)
	if err != nil || string(text) != `["n1","n2"]` || json.Unmarshal(text, &again) != nil || again != l {
		t.Errorf("%s, %q, %v", text, again, err)
	}
	for _, wrong := range [][]string{{"N1"}, {""}, {"a,b"}, make([]string, MaxListedNodes+1)} {
		if l, err := ParseNodeList(wrong); err == nil {
			t.Errorf("%q: %q", wrong, l)
		}
	}
}
