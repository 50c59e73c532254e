package provider

import (
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	for _, tc := range []struct {
		rule  rule
		value string
		want  string // part of the error, "" for none
	}{
		{poolRule, "10.255.0.0/16", ""},
		{poolRule, "10.255.0.1/16", "write 10.255.0.0/16"},
		{poolRule, "10.255.0.0", "write 10.255.0.0/16"},
		{poolRule, "10.255.0.0/33", "no IPv4 prefix"},
		{poolRule, "fd00::/48", "IPv6"},
		{poolRule, "ten", "no IPv4 prefix"},
		{rangeRule, "30000-32767", ""},
		{rangeRule, "1-65535", ""},
		{rangeRule, "80-80", ""},
		{rangeRule, "30000", "want FIRST-LAST"},
		{rangeRule, "30000 - 32767", "want FIRST-LAST"},
		{rangeRule, "030-99", "want FIRST-LAST"},
		{rangeRule, "9-8", "FIRST ≤ LAST"},
		{rangeRule, "1-65536", "65535"},
		{addressRule, "192.168.200.10", ""},
		{addressRule, "192.168.200.10/24", "bare address"},
		{addressRule, "n1.example.com", "not a name"},
		{addressRule, "fd00::1", "IPv6"},
		{addressRule, "::ffff:10.0.0.1", "IPv6"},
		{hostKeyRule, "ssh-ed25519 AAAA", ""},
		{hostKeyRule, "ssh-ed25519 AAAA root@n1\n", ""},
		{hostKeyRule, "AAAA", "as in authorized_keys"},
		{hostKeyRule, "-----BEGIN OPENSSH PRIVATE KEY----- x", "as in authorized_keys"},
		{nameRule, "n1", ""},
		{nameRule, "N1", "want 1–63"},
		{clusterIDRule, "demo", ""},
		{clusterIDRule, "demo/web", "id of a routingmesh_cluster"},
		{serviceIDRule, "demo/web", ""},
		{serviceIDRule, "web", "CLUSTER/NAME"},
	} {
		err := tc.rule.check(tc.value)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s %q: %v, want none", tc.rule.summary, tc.value, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s %q: %v, want %q", tc.rule.summary, tc.value, err, tc.want)
		}
	}
}

func TestCheckHosts(t *testing.T) {
	for _, tc := range []struct{ hosts, want string }{
		{"n1", ""},
		{"10.0.0.1:22,n2,root@n3:2222", ""},
		{"[fd00::1]:22", ""},
		{"a,b,c,d,e", ""},
		{"a,b", "one, three or five"},
		{"a,b,c,d", "4 hosts are named"},
		{"n1:ssh", "no valid port"},
		{"n1:0", "no valid port"},
		{"@n1", "empty user"},
		{"root@", "no SSH address"},
		{"n 1", "no SSH address"},
		{"a,b,a", "named twice"},
	} {
		err := checkHosts(strings.Split(tc.hosts, ","))
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.hosts, err, tc.want)
		}
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"":                "",
		"n1 is taken":     "n1 is taken.",
		"Done.":           "Done.",
		"sure?":           "sure?",
		"\"x\" is no id ": "\"x\" is no id.",
	} {
		if got := sentence(in); got != want {
			t.Errorf("sentence(%q) = %q, want %q", in, got, want)
		}
	}
}
