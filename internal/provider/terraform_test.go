package provider

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

// workspace is one Terraform state, with a provider of its own, for what the
// framework of acceptance tests does not show: what people read, warnings among
// it, applies that fail half-way, and two states at once.
type workspace struct {
	t   *testing.T
	dir string
	env []string
}

func (m *testMesh) workspace() *workspace {
	m.t.Helper()
	w := &workspace{t: m.t, dir: m.t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	reattach, closed := make(chan *plugin.ReattachConfig), make(chan struct{})
	go func() {
		serve := providerserver.NewProtocol6(&meshProvider{version: "test", connect: m.connect})
		err := tf6server.Serve("registry.terraform.io/routingmesh/routingmesh", func() tfprotov6.ProviderServer { return serve() },
			tf6server.WithDebug(ctx, reattach, closed), tf6server.WithLoggingSink(m.t), tf6server.WithGoPluginLogger(hclog.NewNullLogger()))
		if err != nil {
			m.t.Errorf("the provider cannot be served: %v", err)
		}
	}()
	m.t.Cleanup(func() { cancel(); <-closed })
	r := <-reattach
	providers, err := json.Marshal(map[string]any{
		cmp.Or(os.Getenv("TF_ACC_PROVIDER_HOST"), "registry.terraform.io") + "/routingmesh/routingmesh": map[string]any{
			"Protocol": string(r.Protocol), "ProtocolVersion": r.ProtocolVersion, "Pid": r.Pid, "Test": true,
			"Addr": map[string]string{"Network": r.Addr.Network(), "String": r.Addr.String()},
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	w.env = append(os.Environ(), "TF_REATTACH_PROVIDERS="+string(providers), "TF_IN_AUTOMATION=1", "TF_LOG=")
	w.write("")
	w.initialized()
	return w
}

func (w *workspace) initialized() {
	w.t.Helper()
	if out, code := w.run("init"); code != 0 {
		w.t.Fatal(out)
	}
}

// write replaces the configuration.
func (w *workspace) write(config string) {
	w.t.Helper()
	head := "terraform {\n  required_providers {\n    routingmesh = { source = \"routingmesh/routingmesh\" }\n  }\n}\n"
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(head+config), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// run returns what a command prints, and its exit code.
func (w *workspace) run(args ...string) (output string, code int) {
	cli := cmp.Or(os.Getenv("TF_ACC_TERRAFORM_PATH"), "terraform")
	cmd := exec.CommandContext(context.Background(), cli, append(args, "-no-color")...)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Error(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// plan returns what a plan prints, and whether it has changes.
func (w *workspace) plan(more ...string) (output string, changes bool) {
	w.t.Helper()
	out, code := w.run(append([]string{"plan", "-detailed-exitcode"}, more...)...)
	if code == 1 {
		w.t.Errorf("plan failed:\n%s", out)
	}
	return out, code == 2
}

// apply returns what an apply prints that must go through.
func (w *workspace) apply(more ...string) (output string) {
	w.t.Helper()
	out, code := w.run(append([]string{"apply", "-auto-approve"}, more...)...)
	if code != 0 {
		w.t.Errorf("apply failed:\n%s", out)
	}
	return out
}

// fails returns what a command prints that must fail.
func (w *workspace) fails(args ...string) (output string) {
	w.t.Helper()
	out, code := w.run(args...)
	if code == 0 {
		w.t.Errorf("%v did not fail:\n%s", args, out)
	}
	return out
}

// settled checks that there is nothing to do.
func (w *workspace) settled() {
	w.t.Helper()
	if out, changes := w.plan(); changes || strings.Contains(out, "Warning") {
		w.t.Errorf("the plan is not empty:\n%s", out)
	}
}

// says checks that text has every part, wherever lines are broken.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	plain := flat(text)
	for _, part := range parts {
		if !strings.Contains(plain, flat(part)) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// flat drops what Terraform breaks and frames lines with.
func flat(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \n\t│╷╵", r) }), " ")
}

// planned leaves out what a plan says while it reads, in any order.
func planned(output string) string {
	_, after, _ := strings.Cut(output, "Terraform will perform")
	return after
}
