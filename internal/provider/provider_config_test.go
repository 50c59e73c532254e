package provider

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// providerConfig builds a configuration of the provider block; what is not in
// ssh, and on_unreachable where it is not given, is null.
func providerConfig(t *testing.T, hosts any, ssh map[string]any, others ...any) providerModel {
	t.Helper()
	ctx := context.Background()
	var resp provider.SchemaResponse
	(&meshProvider{}).Schema(ctx, provider.SchemaRequest{}, &resp)
	nested, ok := resp.Schema.Attributes["ssh"].(schema.SingleNestedAttribute)
	if !ok {
		t.Fatal("ssh is no nested attribute")
	}
	sshType := nested.GetType().TerraformType(ctx)
	listType := tftypes.List{ElementType: tftypes.String}
	sshValue := tftypes.NewValue(sshType, nil)
	if ssh != nil {
		values := map[string]tftypes.Value{}
		for name, a := range nested.Attributes {
			values[name] = value(a.GetType().TerraformType(ctx), ssh[name])
		}
		sshValue = tftypes.NewValue(sshType, values)
	}
	raw := tftypes.NewValue(resp.Schema.Type().TerraformType(ctx), map[string]tftypes.Value{
		"hosts": value(listType, hosts), "on_unreachable": value(tftypes.String, append(others, nil)[0]),
		"force_hosts": value(tftypes.Bool, append(others, nil, nil)[1]), "ssh": sshValue})
	var model providerModel
	diags := tfsdk.Config{Raw: raw, Schema: resp.Schema}.Get(ctx, &model)
	if diags.HasError() {
		t.Fatal(diags)
	}
	return model
}

func value(typ tftypes.Type, v any) tftypes.Value {
	if list, ok := v.([]string); ok {
		var values []tftypes.Value
		for _, s := range list {
			if s == "?" {
				values = append(values, tftypes.NewValue(tftypes.String, tftypes.UnknownValue))
				continue
			}
			values = append(values, tftypes.NewValue(tftypes.String, s))
		}
		return tftypes.NewValue(typ, values)
	}
	return tftypes.NewValue(typ, v)
}

var everything = map[string]any{
	"user": "ops", "port": 2222, "private_key": "KEY", "passphrase": "pass", "certificate": "CERT", "password": "word", "agent": true,
	"bastion_host": "b", "bastion_port": 2200, "bastion_user": "jump", "bastion_password": "bword", "bastion_private_key": "BKEY",
	"bastion_certificate": "BCERT", "bastion_host_key": "BHK", "proxy_jump": "a,b", "host_key": "HK", "known_hosts": []string{"/k1", "/k2"},
	"host_key_policy": "strict", "use_ssh_config": true, "sudo": false, "timeout": "45s",
}

func wantEverything() meshclient.Config {
	yes, no := true, false
	return meshclient.Config{Hosts: []string{"a", "b", "c"}, OnUnreachable: meshclient.UnreachableFail, SSH: sshdial.Config{
		User: "ops", Port: 2222, PrivateKey: "KEY", Passphrase: "pass", Certificate: "CERT", Password: "word", Agent: &yes,
		Bastion:   sshdial.BastionConfig{Host: "b", Port: 2200, User: "jump", Password: "bword", PrivateKey: "BKEY", Certificate: "BCERT", HostKey: "BHK"},
		ProxyJump: "a,b", HostKey: "HK", KnownHosts: []string{"/k1", "/k2"}, HostKeyPolicy: sshdial.HostKeyStrict,
		UseSSHConfig: true, Sudo: &no, Timeout: 45 * time.Second,
	}}
}

func TestConfigurationReachesTheClient(t *testing.T) {
	model := providerConfig(t, []string{"a", "b", "c"}, everything, "fail", true)
	got, diags := model.clientConfig(t.Context())
	want := wantEverything()
	want.ForceHosts = true
	if diags.HasError() || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, diags)
	}
}

func TestEverySettingComesFromTheEnvironment(t *testing.T) {
	t.Setenv("ROUTINGMESH_HOSTS", "a, b ,c")
	t.Setenv("ROUTINGMESH_ON_UNREACHABLE", "fail")
	for name, v := range everything {
		text := "/k1,/k2"
		switch v := v.(type) {
		case string:
			text = v
		case int:
			text = map[int]string{2222: "2222", 2200: "2200"}[v]
		case bool:
			text = map[bool]string{true: "true", false: "false"}[v]
		}
		t.Setenv("ROUTINGMESH_SSH_"+strings.ToUpper(name), text)
	}
	model := providerConfig(t, nil, nil)
	got, diags := model.clientConfig(t.Context())
	if diags.HasError() || !reflect.DeepEqual(got, wantEverything()) {
		t.Errorf("got %+v, %v", got, diags)
	}

	model = providerConfig(t, []string{"z"}, map[string]any{"user": "root", "sudo": true, "known_hosts": []string{"/own"}}, "warn")
	got, _ = model.clientConfig(t.Context())
	if got.Hosts[0] != "z" || got.OnUnreachable != meshclient.UnreachableWarn || got.SSH.User != "root" || !*got.SSH.Sudo || got.SSH.KnownHosts[0] != "/own" || got.SSH.Port != 2222 {
		t.Errorf("the configuration does not win: %+v", got)
	}
}

func TestPrivateKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ROUTINGMESH_SSH_PRIVATE_KEY_FILE", file)
	model := providerConfig(t, []string{"a"}, nil)
	if got, diags := model.clientConfig(t.Context()); diags.HasError() || got.SSH.PrivateKey != "PEM" {
		t.Errorf("%v", diags)
	}
	t.Setenv("HOME", filepath.Dir(file))
	t.Setenv("ROUTINGMESH_SSH_PRIVATE_KEY_FILE", "~/key")
	if got, diags := model.clientConfig(t.Context()); diags.HasError() || got.SSH.PrivateKey != "PEM" {
		t.Errorf("~: %v", diags)
	}
	t.Setenv("ROUTINGMESH_SSH_PRIVATE_KEY_FILE", file+"-missing")
	if _, diags := model.clientConfig(t.Context()); !diags.HasError() {
		t.Error("a missing file is no error")
	}
}

func TestBadEnvironment(t *testing.T) {
	for name, v := range map[string]string{
		"ROUTINGMESH_SSH_PORT": "99999", "ROUTINGMESH_SSH_BASTION_PORT": "x", "ROUTINGMESH_SSH_AGENT": "maybe", "ROUTINGMESH_SSH_TIMEOUT": "30",
		"ROUTINGMESH_HOSTS": "a,b", "ROUTINGMESH_ON_UNREACHABLE": "ignore",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ROUTINGMESH_HOSTS", "a")
			t.Setenv(name, v)
			model := providerConfig(t, nil, nil)
			_, diags := model.clientConfig(t.Context())
			if diags.ErrorsCount() != 1 {
				t.Fatalf("got %v, want one error", diags)
			}
			if _, ok := diags[0].(diag.DiagnosticWithPath); !ok {
				t.Errorf("%v points at nothing", diags[0])
			}
		})
	}
}

func TestHostsAreNeeded(t *testing.T) {
	model := providerConfig(t, nil, nil)
	if _, diags := model.clientConfig(t.Context()); !diags.HasError() || !strings.Contains(diags[0].Detail(), "ROUTINGMESH_HOSTS") {
		t.Errorf("got %v", diags)
	}
}

func TestUnknownConfiguration(t *testing.T) {
	for name, tc := range map[string]struct {
		hosts any
		ssh   map[string]any
		want  bool
	}{
		"known":           {[]string{"a"}, map[string]any{"user": "root"}, false},
		"hosts":           {tftypes.UnknownValue, nil, true},
		"one host":        {[]string{"a", "?", "c"}, nil, true},
		"key":             {[]string{"a"}, map[string]any{"private_key": tftypes.UnknownValue}, true},
		"known_hosts":     {[]string{"a"}, map[string]any{"known_hosts": []string{"?"}}, true},
		"nothing written": {nil, nil, false},
	} {
		model := providerConfig(t, tc.hosts, tc.ssh)
		if got := model.unknown(); got != tc.want {
			t.Errorf("%s: unknown is %v", name, got)
		}
	}
	if model := providerConfig(t, []string{"a"}, nil, tftypes.UnknownValue); !model.unknown() {
		t.Error("on_unreachable: unknown is false")
	}
}
