package provider

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
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

// caution is a validator that warns, where a rule refuses.
type caution struct {
	summary string
	of      func(string) string // "" for no warning
}

func (caution) Description(context.Context) string         { return "" }
func (caution) MarkdownDescription(context.Context) string { return "" }

func (c caution) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if text := c.of(req.ConfigValue.ValueString()); text != "" {
		resp.Diagnostics.AddAttributeWarning(req.Path, c.summary, text)
	}
}

// publicPool warns of a pool that works and hides others' hosts.
var publicPool = caution{"Address pool with public addresses", func(s string) string {
	p, err := mesh.ParsePool(s)
	if err != nil {
		return "" // poolRule says it
	}
	return mesh.PoolWarning(p)
}}

func (r rule) Description(context.Context) string         { return r.want }
func (r rule) MarkdownDescription(context.Context) string { return r.want }

func (r rule) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	resp.Diagnostics.Append(r.verdict(req.Path, req.ConfigValue)...)
}

// verdict is an error where the value is known and wrong.
func (r rule) verdict(at path.Path, v types.String) (diags diag.Diagnostics) {
	if v.IsNull() || v.IsUnknown() {
		return nil
	}
	if err := r.check(v.ValueString()); err != nil {
		diags.AddAttributeError(at, r.summary, sentence(err.Error()))
	}
	return diags
}

var (
	nameRule = rule{"Invalid name", "a DNS label: 1–63 of a–z, 0–9 and -, not starting or ending with -", mesh.CheckName}

	hostRule = rule{"Invalid name", "the name of a node, or * for every node", func(s string) error {
		if s == mesh.EveryHost {
			return nil
		}
		return mesh.CheckName(s)
	}}

	vipPortRule = rule{"Invalid port of a VIP", "PORT/PROTOCOL, as in 80/tcp", func(s string) error {
		if _, err := mesh.ParsePortKey(s); err != nil {
			return fmt.Errorf("%q is not a port and a protocol, as in 80/tcp or 53/udp", s)
		}
		return nil
	}}

	clusterIDRule = rule{"Invalid cluster id", "the id of a routingmesh_cluster, which is its name", func(s string) error {
		if mesh.CheckName(s) != nil {
			return fmt.Errorf("%q is not a valid cluster id. Pass routingmesh_cluster.….id, which is the cluster's name, as in demo", s)
		}
		return nil
	}}

	networkRule = rule{"Invalid network", "an IPv4 network, as in 192.0.2.0/24", func(s string) error {
		_, err := mesh.ParsePrefixList([]string{s})
		return err
	}}

	listenAddressRule = rule{"Invalid address", "an IPv4 address or network, as in 192.0.2.7 or 192.0.2.0/24", func(s string) error {
		_, err := mesh.ParseListenAddresses([]string{s})
		return err
	}}

	serviceIDRule = rule{"Invalid service id", "the id of a routingmesh_service: CLUSTER/NAME", func(s string) error {
		if _, _, err := mesh.SplitID(s); err != nil {
			return fmt.Errorf("%q is not a valid service id. Pass routingmesh_service.….id, which is CLUSTER/NAME, as in demo/web", s)
		}
		return nil
	}}

	poolRule   = rule{"Invalid address pool", "an IPv4 prefix, as in 10.255.0.0/16", parses(mesh.ParsePool)}
	rangeRule  = rule{"Invalid port range", "FIRST-LAST, as in 30000-32767", parses(mesh.ParsePortRange)}
	listenRule = rule{"Invalid address", "an address to listen on: :PORT or ADDRESS:PORT", func(s string) error {
		_, err := mesh.ListenAddress(s, netip.Addr{})
		return err
	}}
	addressRule = rule{"Invalid node address", "an IPv4 address, as in 192.168.200.10", parses(mesh.ParseNodeAddress)}
	hostKeyRule = rule{"Invalid host key", "a public key as in authorized_keys: ssh-ed25519 AAAA…", sshdial.CheckHostKey}
	sshHostRule = rule{"Invalid SSH host", "a host name or an address, without user and port", sshdial.CheckHost}
	sshUserRule = rule{"Invalid SSH user", "a user name", sshdial.CheckUser}
	bastionRule = rule{"Invalid SSH host", "host, host:port or user@host:port", parses(sshdial.CheckTarget)}
)

// parses is the check of a rule that mesh reads its value by.
func parses[T any](parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		_, err := parse(s)
		return err
	}
}

// limited is a validator of numbers that asks mesh's limits. Out of them, it is the
// attribute that the sentence names: of a path into one Terraform shows the resource only.
type limited struct{ mesh.Limits }

func (l limited) Description(context.Context) string {
	return fmt.Sprintf("a number from %d to %d", l.First, l.Last)
}
func (l limited) MarkdownDescription(ctx context.Context) string { return l.Description(ctx) }

func (l limited) ValidateInt64(_ context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	resp.Diagnostics.Append(l.verdict(req.Path, req.ConfigValue)...)
}

// verdict is an error where the value is known and out of the limits.
func (l limited) verdict(at path.Path, v types.Int64) (diags diag.Diagnostics) {
	if v.IsNull() || v.IsUnknown() {
		return nil
	}
	if err := l.Check(at.String(), v.ValueInt64()); err != nil {
		diags.AddAttributeError(at, "Number out of range", sentence(err.Error()))
	}
	return diags
}

func numbers(l mesh.Limits) []validator.Int64 { return []validator.Int64{limited{l}} }

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
