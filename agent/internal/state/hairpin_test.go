package state

import (
	"net/netip"
	"strings"
	"testing"
)

// TestHairpin_Sentences: each says what there is in the place of what is asked for.
func TestHairpin_Sentences(t *testing.T) {
	want := Hairpin{Source: netip.MustParseAddr("10.255.1.7"), Members: "10.255.1.128 10.255.1.129"}
	other := want
	other.Source = netip.MustParseAddr("10.255.2.7")
	for text, have := range map[string]Hairpin{
		"lacks 10.255.1.129, which does not reach itself": {Source: want.Source, Members: "10.255.1.128"},
		"has 10.255.1.130, which the record does not":     {Source: want.Source, Members: want.Members + " 10.255.1.130"},
		"is not as it should be: its chain out has 2":     {Source: want.Source, Members: want.Members, Fault: "its chain out has 2 rules"},
		"(source 10.255.1.7) there is the nf_tables":      other,
	} {
		if got := want.Differs(have); !strings.Contains(got, text) {
			t.Errorf("%q does not say %q", got, text)
		}
	}
}
