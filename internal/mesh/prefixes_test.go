package mesh

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParsePrefixList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want, err string }{
		{"", "", ""},
		{"192.0.2.0/24", "192.0.2.0/24", ""},
		{"192.0.2.0/24 10.0.0.0/8 192.0.2.7/32 10.0.0.0/8", "10.0.0.0/8,192.0.2.0/24,192.0.2.7/32", ""},
		{"10.1.0.0/8", "", `"10.1.0.0/8" has bits beyond its prefix length: is 10.0.0.0/8 meant, or 10.1.0.0/32?`},
		{"0.0.0.0/0", "", `"0.0.0.0/0" is everybody, which is what no list means`},
		{"2001:db8::/32", "", `"2001:db8::/32" is not an IPv4 network`},
		{"192.0.2.7", "", `"192.0.2.7" is not a network: want ADDRESS/LENGTH, as in 192.0.2.0/24 or 192.0.2.7/32`},
	} {
		got, err := ParsePrefixList(strings.Fields(c.in))
		if text := errorText(err); string(got) != c.want || text != c.err {
			t.Errorf("%q: %q, %s", c.in, got, text)
		}
	}
	if _, err := ParsePrefixList(make([]string, MaxPrefixes+1)); err == nil {
		t.Error("too many are taken")
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzPrefixList(f *testing.F) {
	f.Add(`["192.0.2.0/24","10.0.0.0/8"]`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		var l, again PrefixList
		if json.Unmarshal([]byte(text), &l) != nil {
			return
		}
		data, err := json.Marshal(l)
		if err != nil || json.Unmarshal(data, &again) != nil || again != l || l.check() != nil || len(l.Prefixes()) != len(l.Strings()) {
			t.Errorf("%s became %q, then %s, then %q", text, l, data, again)
		}
	})
}
