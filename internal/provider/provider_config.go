package provider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

type providerModel struct {
	Hosts         types.List   `tfsdk:"hosts"`
	OnUnreachable types.String `tfsdk:"on_unreachable"`
	ForceHosts    types.Bool   `tfsdk:"force_hosts"`
	SSH           types.Object `tfsdk:"ssh"`
}

type providerSSHModel struct {
	User              types.String `tfsdk:"user"`
	Port              types.Int64  `tfsdk:"port"`
	PrivateKey        types.String `tfsdk:"private_key"`
	Passphrase        types.String `tfsdk:"passphrase"`
	Certificate       types.String `tfsdk:"certificate"`
	Password          types.String `tfsdk:"password"`
	Agent             types.Bool   `tfsdk:"agent"`
	BastionHost       types.String `tfsdk:"bastion_host"`
	BastionPort       types.Int64  `tfsdk:"bastion_port"`
	BastionUser       types.String `tfsdk:"bastion_user"`
	BastionPassword   types.String `tfsdk:"bastion_password"`
	BastionPrivateKey types.String `tfsdk:"bastion_private_key"`
	BastionCert       types.String `tfsdk:"bastion_certificate"`
	BastionHostKey    types.String `tfsdk:"bastion_host_key"`
	ProxyJump         types.String `tfsdk:"proxy_jump"`
	HostKey           types.String `tfsdk:"host_key"`
	KnownHosts        types.List   `tfsdk:"known_hosts"`
	HostKeyPolicy     types.String `tfsdk:"host_key_policy"`
	UseSSHConfig      types.Bool   `tfsdk:"use_ssh_config"`
	Sudo              types.Bool   `tfsdk:"sudo"`
	Timeout           types.String `tfsdk:"timeout"`
}

// unknown tells whether anything is still to be made by this apply. Part of a
// configuration is no configuration: a login without its key would fail, and
// with another key might reach the wrong host.
func (m *providerModel) unknown() bool {
	if anyUnknown(m.Hosts) || m.OnUnreachable.IsUnknown() || m.ForceHosts.IsUnknown() || m.SSH.IsUnknown() {
		return true
	}
	for _, v := range m.SSH.Attributes() {
		if list, ok := v.(types.List); v.IsUnknown() || ok && anyUnknown(list) {
			return true
		}
	}
	return false
}

func anyUnknown(list types.List) bool {
	if list.IsUnknown() {
		return true
	}
	for _, e := range list.Elements() {
		if e.IsUnknown() {
			return true
		}
	}
	return false
}

// clientConfig reads the known configuration, and from the environment what it
// does not set.
func (m *providerModel) clientConfig(ctx context.Context) (meshclient.Config, diag.Diagnostics) {
	var ssh providerSSHModel
	s := &settings{}
	if !m.SSH.IsNull() {
		s.diags.Append(m.SSH.As(ctx, &ssh, basetypes.ObjectAsOptions{})...)
	}
	cfg := meshclient.Config{
		Hosts:         s.list(path.Root("hosts"), m.Hosts, "ROUTINGMESH_HOSTS"),
		OnUnreachable: s.onUnreachable(m.OnUnreachable),
		ForceHosts:    m.ForceHosts.ValueBool(),
		SSH: sshdial.Config{
			User:          s.text(ssh.User, "USER"),
			Port:          s.port(ssh.Port, "port"),
			PrivateKey:    s.privateKey(ssh.PrivateKey),
			Passphrase:    s.text(ssh.Passphrase, "PASSPHRASE"),
			Certificate:   s.text(ssh.Certificate, "CERTIFICATE"),
			Password:      s.text(ssh.Password, "PASSWORD"),
			Agent:         s.flag(ssh.Agent, "agent"),
			ProxyJump:     s.text(ssh.ProxyJump, "PROXY_JUMP"),
			HostKey:       s.text(ssh.HostKey, "HOST_KEY"),
			KnownHosts:    s.list(path.Root("ssh").AtName("known_hosts"), ssh.KnownHosts, "ROUTINGMESH_SSH_KNOWN_HOSTS"),
			HostKeyPolicy: sshdial.HostKeyPolicy(s.text(ssh.HostKeyPolicy, "HOST_KEY_POLICY")),
			Sudo:          s.flag(ssh.Sudo, "sudo"),
			Timeout:       s.duration(ssh.Timeout),
			Bastion: sshdial.BastionConfig{
				Host:        s.text(ssh.BastionHost, "BASTION_HOST"),
				Port:        s.port(ssh.BastionPort, "bastion_port"),
				User:        s.text(ssh.BastionUser, "BASTION_USER"),
				Password:    s.text(ssh.BastionPassword, "BASTION_PASSWORD"),
				PrivateKey:  s.text(ssh.BastionPrivateKey, "BASTION_PRIVATE_KEY"),
				Certificate: s.text(ssh.BastionCert, "BASTION_CERTIFICATE"),
				HostKey:     s.text(ssh.BastionHostKey, "BASTION_HOST_KEY"),
			},
		},
	}
	if use := s.flag(ssh.UseSSHConfig, "use_ssh_config"); use != nil {
		cfg.SSH.UseSSHConfig = *use
	}
	s.checkHosts(cfg.Hosts)
	return cfg, s.diags
}

// settings reads one value after the other and collects what is wrong.
type settings struct{ diags diag.Diagnostics }

func (s *settings) fail(at path.Path, format string, args ...any) {
	s.diags.AddAttributeError(at, "Invalid provider configuration", fmt.Sprintf(format, args...))
}

func (s *settings) onUnreachable(v types.String) meshclient.UnreachablePolicy {
	value := v.ValueString()
	if v.IsNull() {
		value = os.Getenv("ROUTINGMESH_ON_UNREACHABLE")
	}
	switch value {
	case "", string(meshclient.UnreachableWarn):
		return meshclient.UnreachableWarn
	case string(meshclient.UnreachableFail):
		return meshclient.UnreachableFail
	}
	s.fail(path.Root("on_unreachable"), "ROUTINGMESH_ON_UNREACHABLE must be warn or fail, not %q.", value)
	return meshclient.UnreachableWarn
}

func (s *settings) text(v types.String, env string) string {
	if !v.IsNull() {
		return v.ValueString()
	}
	return os.Getenv("ROUTINGMESH_SSH_" + env)
}

func (s *settings) port(v types.Int64, attribute string) uint16 {
	if !v.IsNull() {
		return uint16(v.ValueInt64()) // the schema admits 1–65535
	}
	env := "ROUTINGMESH_SSH_" + strings.ToUpper(attribute)
	value := os.Getenv(env)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		s.fail(path.Root("ssh").AtName(attribute), "%s must be a port, 1–65535, not %q.", env, value)
	}
	return uint16(n)
}

func (s *settings) flag(v types.Bool, attribute string) *bool {
	if !v.IsNull() {
		return v.ValueBoolPointer()
	}
	env := "ROUTINGMESH_SSH_" + strings.ToUpper(attribute)
	value := os.Getenv(env)
	if value == "" {
		return nil
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		s.fail(path.Root("ssh").AtName(attribute), "%s must be true or false, not %q.", env, value)
	}
	return &b
}

func (s *settings) duration(v types.String) time.Duration {
	value := s.text(v, "TIMEOUT")
	if value == "" {
		return 0
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		s.fail(path.Root("ssh").AtName("timeout"), "The timeout must be a duration as in 30s or 2m, not %q.", value)
	}
	return d
}

func (s *settings) list(at path.Path, v types.List, env string) []string {
	var values []string
	if v.IsNull() {
		for value := range strings.SplitSeq(os.Getenv(env), ",") {
			if value = strings.TrimSpace(value); value != "" {
				values = append(values, value)
			}
		}
		return values
	}
	for i, e := range v.Elements() {
		value, ok := e.(types.String)
		if !ok || value.ValueString() == "" {
			s.fail(at.AtListIndex(i), "An element must not be null or empty.")
			continue
		}
		values = append(values, value.ValueString())
	}
	return values
}

// privateKey takes the content; only the environment may name a file, since a
// configuration has file().
func (s *settings) privateKey(v types.String) string {
	if key := s.text(v, "PRIVATE_KEY"); key != "" {
		return key
	}
	name := os.Getenv("ROUTINGMESH_SSH_PRIVATE_KEY_FILE")
	if name == "" {
		return ""
	}
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			name = filepath.Join(home, rest)
		}
	}
	content, err := os.ReadFile(name) //nolint:gosec // G703: the user names a file of their own
	if err != nil {
		s.fail(path.Root("ssh").AtName("private_key"), "ROUTINGMESH_SSH_PRIVATE_KEY_FILE cannot be read: %v.", err)
	}
	return string(content)
}

func (s *settings) checkHosts(hosts []string) {
	if s.diags.HasError() {
		return
	}
	if len(hosts) == 0 {
		s.fail(path.Root("hosts"), "hosts is missing: name one, three or five hosts of the cluster by their SSH addresses, "+
			"here or in ROUTINGMESH_HOSTS (separated by commas).")
		return
	}
	if err := checkHosts(hosts); err != nil {
		s.fail(path.Root("hosts"), "%s", sentence(err.Error()))
	}
}
