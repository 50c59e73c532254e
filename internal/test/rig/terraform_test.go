package rig

import "testing"

func TestMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line, text string
		isError    bool
	}{
		"progress":                  {`{"@message":"a.b: Creation complete after 1s [id=x]","type":"apply_complete"}`, "a.b: Creation complete after 1s [id=x]", false},
		"what only machines read":   {`{"@message":"Outputs: 1","type":"outputs"}`, "", false},
		"overrides are meant to be": {`{"@message":"w","type":"diagnostic","diagnostic":{"severity":"warning","summary":"Provider development overrides are in effect"}}`, "", false},
		"a warning": {`{"@message":"w","type":"diagnostic","diagnostic":{"severity":"warning","summary":"Node lags","detail":"n3 is down."}}`,
			"warning: Node lags\nn3 is down.", false},
		"an error": {`{"@message":"e","type":"diagnostic","diagnostic":{"severity":"error","summary":"No","detail":"Because.","address":"a.b"}}`,
			"error: No (a.b)\nBecause.", true},
		"no JSON": {"panic: oh", "panic: oh", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, isError := message(c.line)
			if text != c.text || isError != c.isError {
				t.Errorf("got %q, %v; want %q, %v", text, isError, c.text, c.isError)
			}
		})
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	var got []string
	w := &lineWriter{show: func(s string) { got = append(got, s) }}
	for _, p := range []string{"a", "b\nc\r\n", "d"} {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.flush()
	if len(got) != 3 || got[0] != "ab" || got[1] != "c" || got[2] != "d" {
		t.Errorf("got %q", got)
	}
}
