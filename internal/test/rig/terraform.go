package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/tfcli"
)

// Terraform is a terraform or tofu that works in a scratch folder, on the lab.
type Terraform struct {
	Dir  string
	Path string
	lab  *Lab
	vars []string
	rc   string // Terraform's own settings: where the provider is
}

// Terraform prepares the folder name in the lab's with a copy of examples/quickstart. A state that is in it stays: what it
// describes may still stand.
func (l *Lab) Terraform(name string, vars ...string) (*Terraform, error) {
	files, err := filepath.Glob(filepath.Join(l.Root, "examples", "quickstart", "*.tf"))
	if err != nil {
		return nil, err
	}
	configuration := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		configuration[filepath.Base(f)] = string(b)
	}
	return l.TerraformOf(name, configuration, vars...)
}

// TerraformOf is Terraform with a configuration of one's own: contents by file name. The lab's lab.auto.tfvars.json is put
// beside them.
func (l *Lab) TerraformOf(name string, configuration map[string]string, vars ...string) (*Terraform, error) {
	path, err := tfcli.Find(exec.LookPath)
	if err != nil {
		return nil, err
	}
	t := &Terraform{Dir: filepath.Join(l.Dir, name), Path: path, lab: l, rc: filepath.Join(l.Dir, "terraformrc")}
	t.Set(vars...)
	return t, t.write(configuration)
}

// Set replaces the variables, each as name=value.
func (t *Terraform) Set(vars ...string) {
	t.vars = nil
	for _, v := range vars {
		t.vars = append(t.vars, "-var="+v)
	}
}

func (t *Terraform) write(configuration map[string]string) error {
	if err := os.MkdirAll(t.Dir, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(t.Dir, "*.tf"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	const vars = "lab.auto.tfvars.json"
	b, err := os.ReadFile(filepath.Join(t.lab.Dir, vars))
	if err != nil {
		return err
	}
	all := map[string]string{vars: string(b)}
	maps.Copy(all, configuration)
	for name, content := range all {
		if err := t.Put(name, content); err != nil {
			return err
		}
	}
	return nil
}

// Put writes a file of the configuration.
func (t *Terraform) Put(name, content string) error {
	return os.WriteFile(filepath.Join(t.Dir, name), []byte(content), 0o600)
}

// Provide has it use the provider in a folder from now on, in place of the one that the lab names.
func (t *Terraform) Provide(folder string) error {
	t.rc = filepath.Join(t.Dir, "terraformrc")
	return t.Put(filepath.Base(t.rc), fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"routingmesh/routingmesh\" = %q\n  }\n  direct {}\n}\n", folder))
}

// Name is terraform or tofu.
func (t *Terraform) Name() string { return filepath.Base(t.Path) }

// Env is what a person sets to use the folder as the demo does.
func (t *Terraform) Env() string {
	return "TF_CLI_CONFIG_FILE=" + t.rc
}

// Standing says whether the state names resources.
func (t *Terraform) Standing() bool {
	b, err := os.ReadFile(filepath.Join(t.Dir, "terraform.tfstate"))
	if err != nil {
		return false
	}
	var state struct {
		Resources []json.RawMessage `json:"resources"`
	}
	return json.Unmarshal(b, &state) == nil && len(state.Resources) > 0
}

// Forget takes the state away: what it described is gone.
func (t *Terraform) Forget() error {
	files, err := filepath.Glob(filepath.Join(t.Dir, "terraform.tfstate*"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// Plan returns what plan says, as a person reads it, and whether it would change something. Options are Terraform's own.
func (t *Terraform) Plan(ctx context.Context, options ...string) (text string, changes bool, err error) {
	var lines []string
	args := slices.Concat([]string{"plan", "-no-color", "-input=false", "-detailed-exitcode"}, options, t.vars)
	err = t.run(ctx, func(line string) { lines = append(lines, line) }, args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		changes, err = true, nil
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, strings.Join(lines, "\n"))
	}
	return strings.Join(lines, "\n"), changes, err
}

// Apply applies, and shows a line per resource that is done and per warning. Options are Terraform's own.
func (t *Terraform) Apply(ctx context.Context, show func(string), options ...string) error {
	return t.change(ctx, "apply", show, options...)
}

// Destroy destroys everything in the state.
func (t *Terraform) Destroy(ctx context.Context, show func(string)) error {
	return t.change(ctx, "destroy", show)
}

func (t *Terraform) change(ctx context.Context, command string, show func(string), options ...string) error {
	var failed []string
	args := slices.Concat([]string{command, "-json", "-auto-approve", "-input=false"}, options, t.vars)
	err := t.run(ctx, func(line string) {
		text, isError := message(line)
		if isError {
			failed = append(failed, text)
		} else if text != "" {
			show(text)
		}
	}, args...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(failed, "\n"))
	}
	return nil
}

// message turns a line of Terraform's JSON output into what is worth showing: progress, summaries, warnings, errors.
func message(line string) (text string, isError bool) {
	var m struct {
		Message    string `json:"@message"`
		Type       string `json:"type"`
		Diagnostic struct {
			Severity, Summary, Detail, Address string
		} `json:"diagnostic"`
	}
	if json.Unmarshal([]byte(line), &m) != nil {
		return line, false
	}
	if strings.HasPrefix(m.Message, "Plan: ") {
		return "", false // the summary of what was done follows
	}
	if slices.Contains([]string{"apply_complete", "apply_progress", "apply_errored", "change_summary"}, m.Type) {
		return m.Message, false
	}
	d := m.Diagnostic
	if m.Type != "diagnostic" || d.Summary == "Provider development overrides are in effect" {
		return "", false
	}
	if d.Address != "" {
		d.Summary += " (" + d.Address + ")"
	}
	return strings.TrimSpace(d.Severity + ": " + d.Summary + "\n" + d.Detail), d.Severity == "error"
}

// run also leaves the provider's own log beside the state, for when something fails.
func (t *Terraform) run(ctx context.Context, show func(string), args ...string) error {
	fmt.Fprintf(t.lab.Log, "\n$ %s %s\n", t.Name(), strings.Join(args, " "))
	cmd := t.lab.command(ctx, t.Path, args...)
	cmd.Dir = t.Dir
	cmd.Env = append(os.Environ(), t.Env(), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"ROUTINGMESH_SSH_KNOWN_HOSTS="+filepath.Join(t.lab.Dir, "known_hosts"), "ROUTINGMESH_SSH_HOST_KEY_POLICY=strict",
		"TF_LOG_PROVIDER=DEBUG", "TF_LOG_PATH="+filepath.Join(t.Dir, "provider.log"))
	w := &lineWriter{show: show}
	out := io.MultiWriter(t.lab.Log, w)
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	w.flush()
	if err != nil {
		return fmt.Errorf("%s %s: %w", t.Name(), args[0], err)
	}
	return nil
}
