package provider

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// rule is a validator of strings made of a function that says what is wrong.
type rule struct {
	summary string
	want    string
	check   func(string) error
}

func (r rule) Description(context.Context) string         { return r.want }
func (r rule) MarkdownDescription(context.Context) string { return r.want }

func (r rule) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := r.check(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, r.summary, sentence(err.Error()))
	}
}

var (
	nameRule = rule{"Invalid name", "a DNS label: 1–63 of a–z, 0–9 and -, not starting or ending with -", mesh.CheckName}

	clusterIDRule = rule{"Invalid cluster id", "the id of a routingmesh_cluster, which is its name", func(s string) error {
		if mesh.CheckName(s) != nil {
			return fmt.Errorf("%q is no cluster id: want the id of a routingmesh_cluster, which is its name, as in demo", s)
		}
		return nil
	}}

	serviceIDRule = rule{"Invalid service id", "the id of a routingmesh_service: CLUSTER/NAME", func(s string) error {
		if _, _, err := mesh.SplitID(s); err != nil {
			return fmt.Errorf("%q is no service id: want the id of a routingmesh_service, CLUSTER/NAME, as in demo/web", s)
		}
		return nil
	}}

	poolRule  = rule{"Invalid address pool", "an IPv4 prefix, as in 10.255.0.0/16", checkPool}
	rangeRule = rule{"Invalid port range", "FIRST-LAST, as in 30000-32767", func(s string) error {
		_, err := parsePortRange(s)
		return err
	}}
	listenRule = rule{"Invalid address", "an address to listen on: :PORT or ADDRESS:PORT", func(s string) error {
		_, err := mesh.ListenAddress(s, netip.Addr{})
		return err
	}}
	addressRule = rule{"Invalid node address", "an IPv4 address, as in 192.168.200.10", checkAddress}
	hostKeyRule = rule{"Invalid host key", "a public key as in authorized_keys: ssh-ed25519 AAAA…", sshdial.CheckHostKey}
	sshHostRule = rule{"Invalid SSH host", "a host name or an address, without user and port", sshdial.CheckHost}
	sshUserRule = rule{"Invalid SSH user", "a user name", sshdial.CheckUser}
	bastionRule = rule{"Invalid SSH host", "host, host:port or user@host:port", func(s string) error {
		_, err := sshdial.CheckTarget(s)
		return err
	}}
)

// checkPool suggests what was probably meant: host bits and a forgotten length
// are the usual mistakes.
func checkPool(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Is4() {
			return fmt.Errorf("%q has no prefix length: write %s", s, netip.PrefixFrom(a, 16).Masked())
		}
		return fmt.Errorf("%q is no IPv4 prefix: want ADDRESS/LENGTH, as in 10.255.0.0/16", s)
	}
	if !p.Addr().Is4() {
		return fmt.Errorf("%s is IPv6: the overlay is IPv4, as in 10.255.0.0/16", s)
	}
	if p != p.Masked() {
		return fmt.Errorf("%s has bits set beyond its length: write %s", s, p.Masked())
	}
	return mesh.CheckPool(p)
}

func checkAddress(s string) error {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil && strings.Contains(s, "/"):
		return fmt.Errorf("%q has a prefix length: want the bare address, as in 192.168.200.10", s)
	case err != nil:
		return fmt.Errorf("%q is no IPv4 address: want the underlay address itself, as in 192.168.200.10, not a name", s)
	case !a.Is4():
		return fmt.Errorf("%s is IPv6: the underlay is IPv4, as in 192.168.200.10", s)
	}
	return mesh.CheckNodeAddress(a)
}

var portRange = regexp.MustCompile(`^([1-9][0-9]{0,4})-([1-9][0-9]{0,4})$`)

func parsePortRange(s string) (mesh.PortRange, error) {
	m := portRange.FindStringSubmatch(s)
	if m == nil {
		return mesh.PortRange{}, fmt.Errorf("%q is no port range: want FIRST-LAST, as in 30000-32767", s)
	}
	first, err1 := strconv.ParseUint(m[1], 10, 16)
	last, err2 := strconv.ParseUint(m[2], 10, 16)
	if err1 != nil || err2 != nil || first > last {
		return mesh.PortRange{}, fmt.Errorf("%q is no port range: want FIRST-LAST with 1 ≤ FIRST ≤ LAST ≤ 65535", s)
	}
	return mesh.PortRange{First: uint16(first), Last: uint16(last)}, nil
}

type durationValidator struct{}

func (durationValidator) Description(context.Context) string { return "a duration, as in 30s" }
func (durationValidator) MarkdownDescription(context.Context) string {
	return "a duration, as in `30s`"
}

func (durationValidator) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if d, err := time.ParseDuration(req.ConfigValue.ValueString()); err != nil || d <= 0 {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid duration",
			fmt.Sprintf("%q is no duration: want a positive number with a unit, as in 30s or 2m.", req.ConfigValue.ValueString()))
	}
}

// hostsValidator counts even while elements are unknown: the number decides
// about the majority, and it is in the configuration from the start.
type hostsValidator struct{}

func (hostsValidator) Description(context.Context) string { return "one, three or five SSH addresses" }
func (v hostsValidator) MarkdownDescription(ctx context.Context) string {
	return v.Description(ctx)
}

func (hostsValidator) ValidateList(_ context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	elements := req.ConfigValue.Elements()
	if err := checkHostCount(len(elements)); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid hosts", sentence(err.Error()))
		return
	}
	seen := map[string]string{}
	for i, e := range elements {
		s, ok := e.(types.String)
		if !ok || s.IsUnknown() {
			continue
		}
		if err := checkHost(s.ValueString(), seen); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("hosts").AtListIndex(i), "Invalid host", sentence(err.Error()))
		}
	}
}

func checkHosts(hosts []string) error {
	if err := checkHostCount(len(hosts)); err != nil {
		return err
	}
	seen := map[string]string{}
	for _, h := range hosts {
		if err := checkHost(h, seen); err != nil {
			return err
		}
	}
	return nil
}

func checkHostCount(n int) error {
	if n != 1 && n != 3 && n != 5 {
		return fmt.Errorf("%d hosts are listed. List 1, 3 or 5: a change needs a majority of them, so %d tolerate no more failures than %d", n, n, n-1)
	}
	return nil
}

func checkHost(s string, seen map[string]string) error {
	canonical, err := sshdial.CheckTarget(s)
	if err != nil {
		return err
	}
	switch twin, named := seen[canonical]; {
	case twin == s && named:
		return fmt.Errorf("%q is named twice: each host counts once", s)
	case named:
		return fmt.Errorf("%q and %q are the same host: each host counts once", twin, s)
	}
	seen[canonical] = s
	return nil
}

// sentence ends the text of an error; its first letter may be a host's name.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".!?") {
		return s
	}
	return s + "."
}
