package iptables

import "testing"

func TestMixedTables(t *testing.T) {
	type m = map[string]int
	for name, tt := range map[string]struct {
		b    Backends
		want string
	}{
		"nothing":              {Backends{Used: "nf_tables"}, ""},
		"only nf_tables":       {Backends{Used: "nf_tables", NFTables: m{"nat": 3}}, ""},
		"only legacy":          {Backends{Used: "legacy", Legacy: m{"nat": 3}}, ""},
		"both, nf_tables used": {Backends{Used: "nf_tables", NFTables: m{"nat": 3}, Legacy: m{"filter": 2, "nat": 1}}, "The host has iptables rules of the kind legacy (filter: 2, nat: 1), but its iptables writes nf_tables (nat: 3). "},
		"both, legacy used":    {Backends{Used: "legacy", NFTables: m{"nat": 3}, Legacy: m{"filter": 2}}, "The host has iptables rules of the kind nf_tables (nat: 3), but its iptables writes legacy (filter: 2). "},
		"ours would be second": {Backends{Used: "nf_tables", Legacy: m{"filter": 2}}, "The host has iptables rules of the kind legacy (filter: 2), but its iptables writes nf_tables. "},
	} {
		got := tt.b.Mixed()
		if (got == "") != (tt.want == "") || len(got) < len(tt.want) || got[:len(tt.want)] != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
