package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO3G9nNzjcVQSBdCHBnVmyHSJLs3bDmLBR8ibHbsKjHI"

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
		{poolRule, "127.0.0.0/8", "the loopback network"},
		{poolRule, "126.0.0.0/7", "overlaps 127.0.0.0/8"},
		{poolRule, "224.0.0.0/8", "the multicast network"},
		{poolRule, "169.254.0.0/16", "metadata service (169.254.169.254)"},
		{poolRule, "0.0.0.0/8", "the host itself"},
		{poolRule, "0.0.0.0/0", "the host itself"},
		{poolRule, "240.0.0.0/8", "broadcast"},
		{poolRule, "198.51.100.0/24", ""},
		{poolRule, "100.64.0.0/10", ""},
		{addressRule, "255.255.255.255", "is in 240.0.0.0/4"},
		{addressRule, "240.0.0.1", "is in 240.0.0.0/4"},
		{addressRule, "0.1.2.3", "is in 0.0.0.0/8"},
		{addressRule, "127.0.0.1", "is in 127.0.0.0/8"},
		{addressRule, "169.254.169.254", "is in 169.254.0.0/16"},
		{addressRule, "239.1.1.1", "unicast IPv4 address"},
		{sshHostRule, "n1.example.com", ""},
		{sshHostRule, "::1", ""},
		{sshHostRule, "root@127.0.0.1", `"root@127.0.0.1" has a user in it: write host = "127.0.0.1" and user = "root"`},
		{sshHostRule, "127.0.0.1:2401", `"127.0.0.1:2401" has a port in it: write host = "127.0.0.1" and port = 2401`},
		{sshHostRule, "root@n1:22", `write host = "n1", user = "root" and port = 22`},
		{sshHostRule, "[::1]:22", `write host = "::1" and port = 22`},
		{sshHostRule, "[::1]", `"[::1]" has brackets, which only an address with a port needs: write "::1"`},
		{sshHostRule, "ssh://n1/", `"ssh://n1/" is a URL: write the host without ssh://, as in "n1"`},
		{sshHostRule, "n1 ", `"n1 " begins or ends with a blank or a line break: write "n1"`},
		{sshHostRule, "n1\n", `write "n1"`},
		{sshHostRule, "n1:ssh", "the port, if any, stands in port"},
		{sshHostRule, "n 1", `"n 1" is not a host name or address`},
		{sshHostRule, "", "empty"},
		{sshUserRule, "root", ""},
		{sshUserRule, `CORP\ops`, ""},
		{sshUserRule, "a\nb", `"a\nb" has a blank or a line break in it`},
		{sshUserRule, " root", `write "root"`},
		{sshUserRule, "", "empty"},
		{bastionRule, "ops@jump:2222", ""},
		{bastionRule, "ssh://jump", "is a URL"},
		{bastionRule, "jump ", `write "jump"`},
		{bastionRule, "a\tb@jump", "no SSH address"},
		{hostKeyRule, someKey, ""},
		{hostKeyRule, someKey + " root@n1\n", ""},
		{hostKeyRule, "ssh-ed25519 AAAA", "as in authorized_keys"},
		{hostKeyRule, "AAAA", "as in authorized_keys"},
		{hostKeyRule, "-----BEGIN OPENSSH PRIVATE KEY----- x", "it is a private key"},
		{nameRule, "n1", ""},
		{nameRule, "N1", "want 1–63"},
		{clusterIDRule, "demo", ""},
		{clusterIDRule, "demo/web", "Pass routingmesh_cluster.….id"},
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
		{"a,b", "List 1, 3 or 5"},
		{"a,b,c,d", "4 hosts are listed"},
		{"n1:ssh", "the port must be 1–65535"},
		{"n1:0", "the port must be 1–65535"},
		{"@n1", "the user is empty"},
		{"ssh://n1", `is a URL: write the host without ssh://, as in "n1"`},
		{"n1 ", `write "n1"`},
		{"N1.example.com,n1.example.com,n2", `"N1.example.com" and "n1.example.com" are the same host`},
		{"n1.example.com.,root@n1.example.com,n2", "are the same host"},
		{"0:0:0:0:0:0:0:1,[::1],n2", "are the same host"},
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

// A pool of public addresses is warned of and not refused; one that is refused is not
// warned of as well.
func TestPublicPool(t *testing.T) {
	for pool, warned := range map[string]bool{
		"10.255.0.0/16": false, "172.16.0.0/12": false, "192.168.0.0/24": false, "100.64.0.0/10": false, "198.51.100.0/24": false,
		"8.8.8.0/24": true, "10.0.0.0/7": true, "172.0.0.0/8": true, "192.0.0.0/16": true, "127.0.0.0/8": false, "ten": false,
	} {
		var resp validator.StringResponse
		publicPool.ValidateString(t.Context(), validator.StringRequest{ConfigValue: types.StringValue(pool), Path: path.Root("address_pool")}, &resp)
		if resp.Diagnostics.HasError() || (resp.Diagnostics.WarningsCount() == 1) != warned {
			t.Errorf("%s: %v", pool, resp.Diagnostics)
		}
	}
}
