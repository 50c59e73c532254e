package compose

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"
)

// fileName is what the library's messages call the text.
const fileName = "compose.yaml"

// quiet keeps the library's warnings from the standard error of Terraform's plugin: what they
// are about is an error here, or among what is unsupported.
var quiet = sync.OnceFunc(func() { logrus.SetOutput(io.Discard) })

// load reads the text with the variables. It returns the attributes that are not among supported.
func load(ctx context.Context, text, project string, variables map[string]string) (*types.Project, []loader.UnsupportedAttribute, error) {
	quiet()
	if err := checkCycles(text); err != nil {
		return nil, nil, err
	}
	details := types.ConfigDetails{
		WorkingDir:  "/",
		ConfigFiles: []types.ConfigFile{{Filename: fileName, Content: []byte(text)}},
		Environment: variables,
	}
	pure := func(o *loader.Options) {
		o.SetProjectName(project, true)
		o.ResolvePaths, o.SkipInclude, o.SkipResolveEnvironment, o.SkipResolveLabels = false, true, true, true
		o.Profiles = []string{"*"}
	}
	raw := func(o *loader.Options) {
		pure(o)
		o.SkipInterpolation, o.SkipExtends, o.SkipValidation, o.SkipNormalization, o.SkipConsistencyCheck, o.SkipDefaultValues = true, true, true, true, true, true
	}
	model, err := loader.LoadModelWithContext(ctx, details, raw)
	if err != nil {
		return nil, nil, err
	}
	if err := checkRaw(model, variables); err != nil {
		return nil, nil, err
	}
	var unsupported []loader.UnsupportedAttribute
	p, err := loader.LoadWithContext(ctx, details, pure,
		loader.WithSupportedAttributes(supported(), func(found []loader.UnsupportedAttribute) { unsupported = found }))
	return p, unsupported, err
}

// checkRaw refuses what would be read from elsewhere, or be replaced by nothing.
func checkRaw(model map[string]any, variables map[string]string) error {
	services, _ := model["services"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		service, _ := services[name].(map[string]any)
		if extends, ok := service["extends"].(map[string]any); ok && extends["file"] != nil {
			return fmt.Errorf("services.%s.extends is of another file, and a function of Terraform reads none: pass the output of `docker compose config`, which has everything in one", name)
		}
	}
	var unset []string
	for name, v := range template.ExtractVariables(model, template.DefaultPattern) {
		if _, ok := variables[name]; !ok && v.DefaultValue == "" && v.PresenceValue == "" && !v.Required {
			unset = append(unset, name)
		}
	}
	if len(unset) > 0 {
		slices.Sort(unset)
		return fmt.Errorf("the file asks for variables that have no value: %s: give them in env, or defaults in the file as in ${NAME:-…}", strings.Join(unset, ", "))
	}
	return nil
}

// supported are the attributes that services and networks of the mesh have. A * is any name, and any
// item of a list is [].
func supported() []tree.Path {
	all := []string{
		"name", "services.*.extends.service",
		"networks.*.name", "networks.*.external", "networks.*.driver", "networks.*.attachable",
		"volumes.*.name", "volumes.*.external",
	}
	for _, attribute := range []string{
		"image", "command", "entrypoint", "user", "working_dir", "stop_grace_period", "stop_signal", "read_only", "restart", "scale",
		"environment.*", "labels.*", "sysctls.*", "cap_add", "cap_drop", "expose", "profiles",
		"cpus", "mem_limit", "pids_limit", "tmpfs",
		"logging.driver", "logging.options.*",
		"volumes.[].type", "volumes.[].source", "volumes.[].target", "volumes.[].read_only", "volumes.[].bind.create_host_path",
		"networks.*.aliases",
		"ports.[].target", "ports.[].published", "ports.[].protocol", "ports.[].mode", "ports.[].host_ip", "ports.[].name", "ports.[].app_protocol",
		"healthcheck.test", "healthcheck.interval", "healthcheck.timeout", "healthcheck.start_period", "healthcheck.retries", "healthcheck.disable",
		"deploy.mode", "deploy.replicas", "deploy.endpoint_mode",
		"deploy.placement.constraints", "deploy.placement.preferences.[].spread", "deploy.placement.max_replicas_per_node",
		"deploy.update_config.parallelism", "deploy.update_config.delay", "deploy.update_config.order", "deploy.update_config.monitor", "deploy.update_config.failure_action",
		"deploy.restart_policy.condition", "deploy.restart_policy.delay", "deploy.restart_policy.max_attempts",
		"deploy.resources.limits.cpus", "deploy.resources.limits.memory", "deploy.resources.limits.pids",
	} {
		all = append(all, "services.*."+attribute)
	}
	paths := make([]tree.Path, len(all))
	for i, p := range all {
		paths[i] = tree.NewPath(strings.Split(p, ".")...)
	}
	return paths
}
