package provider

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// taskAttribute is the container that the agents run. What is left out is null: its default
// is the record's and the engine's business.
func taskAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The container that the nodes' agents run for each task of the service, in place of `endpoints`: Terraform decides on which nodes, the agents start it, keep it running and stop it. " +
			"Exactly one of `task` and `endpoints`. See the guide [Tasks](../guides/tasks). " +
			"The values are part of the state and of the cluster's record on every node: keep secrets in files, and mount those. Changed in place: a change is a rolling update, as `update` says.",
		Attributes: map[string]schema.Attribute{
			"image":      schema.StringAttribute{Required: true, MarkdownDescription: "Image, with a tag or a digest: `docker.io/library/nginx:1.27`. A node that does not have it pulls it, with its engine's own credentials. What a tag means is each node's to find out when it pulls: a digest means the same everywhere.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
			"engine":     optionalText("Engine that runs it: `docker` or `podman`. Default: what the node has, `docker` if both.", stringvalidator.OneOf(mesh.EngineDocker, mesh.EnginePodman)),
			"entrypoint": words("Program to run, in place of the image's entrypoint, with its first arguments."),
			"command":    words("Arguments, in place of those of the image."),
			"env":        textMap("Environment variables."),
			"user":       optionalText("User (and group) to run as: `1000:1000`. Default: the image's.", stringvalidator.LengthAtLeast(1)),
			"workdir":    optionalText("Working directory. Default: the image's.", stringvalidator.LengthAtLeast(1)),
			"mounts":     mountsAttribute(),
			"limits": schema.SingleNestedAttribute{Optional: true, MarkdownDescription: "Most that a task may use. Default: no limits.", Attributes: map[string]schema.Attribute{
				"cpus":   optionalText("Processors, in thousandths at the finest: `\"0.5\"`.", stringvalidator.RegexMatches(cpusText, `want a number of processors, as in "0.5"`)),
				"memory": optionalText("Memory, in bytes or with a unit, which is binary as Docker has it: `\"512MiB\"`, `\"1g\"`. At least 6 MiB.", stringvalidator.RegexMatches(memoryText, `want a number and a unit, as in "512MiB"`)),
				"pids":   optionalCount("Processes and threads.", mesh.PIDs),
			}},
			"restart": schema.SingleNestedAttribute{Optional: true, MarkdownDescription: "What the agent does when the container ends.", Attributes: map[string]schema.Attribute{
				"condition":    optionalText("`any` starts it again always, `on-failure` after an exit code other than 0, `none` never. Default: `any`.", stringvalidator.OneOf(mesh.RestartAny, mesh.RestartOnFailure, mesh.RestartNone)),
				"delay":        optionalDuration("Wait before the first restart; it doubles with each failure that follows soon, to 5 minutes at most. In whole seconds. Default: `5s`."),
				"max_attempts": optionalCount("How often it is started again. Default: without end.", mesh.Limits{First: 1, Last: mesh.RestartAttempts.Last}),
			}},
			"stop_grace_period": optionalDuration("How long it may take to end before it is killed, in whole seconds. Default: `10s`."),
			"stop_signal":       optionalText("Signal that asks it to end. Default: the image's, or `SIGTERM`.", stringvalidator.LengthAtLeast(1)),
			"labels":            textMap("Labels of the container, besides those by which the agent finds it (`io.routingmesh.…`)."),
			"cap_add":           textSetOf("Capabilities that it has besides the engine's default: `NET_ADMIN`."),
			"cap_drop":          textSetOf("Capabilities that it does not have: `ALL`."),
			"read_only":         schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether its root file system is read-only. Default: `false`."},
			"sysctls":           textMap("Kernel settings of its namespaces: `{ \"net.core.somaxconn\" = \"1024\" }`."),
			"log_driver":        optionalText("Log driver of the engine. Default: the engine's.", stringvalidator.LengthAtLeast(1)),
			"log_options":       textMap("Options of the log driver: `{ \"max-size\" = \"10m\" }`."),
			"health_check": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "The engine's check (HEALTHCHECK), which runs inside of the container. A task is not running before it passes, and one that it calls unhealthy is started again. " +
					"It is independent of the service's `health_check`, by which every node finds out where to send connections. Default: the image's.",
				Attributes: map[string]schema.Attribute{
					"test":         schema.ListAttribute{Required: true, ElementType: types.StringType, MarkdownDescription: "As in Docker's API: `[\"CMD\", \"pg_isready\"]`, `[\"CMD-SHELL\", \"curl -f localhost\"]`, or `[\"NONE\"]` for no check.", Validators: []validator.List{listvalidator.SizeAtLeast(1), listvalidator.NoNullValues()}},
					"interval":     optionalDuration("From one check to the next, in whole seconds. Default: the engine's, `30s`."),
					"timeout":      optionalDuration("How long a check may take, in whole seconds. Default: the engine's, `30s`."),
					"start_period": optionalDuration("How long failures do not count at the start, in whole seconds. Default: the engine's, `0s`."),
					"retries":      optionalCount("How many failures in a row make it unhealthy. Default: the engine's, 3.", mesh.Limits{First: 1, Last: mesh.Retries.Last}),
				},
			},
		},
	}
}

func mountsAttribute() schema.Attribute {
	return schema.ListNestedAttribute{
		Optional: true, MarkdownDescription: "What is mounted into the container. A volume or a folder is the node's own: what a task has written stays behind when it moves to another node.",
		Validators: []validator.List{listvalidator.NoNullValues()},
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"type":      schema.StringAttribute{Required: true, MarkdownDescription: "`bind`, a file or folder of the node, which has to exist; `volume`, one of the engine's, which it creates; `tmpfs`, memory.", Validators: []validator.String{stringvalidator.OneOf(mesh.MountBind, mesh.MountVolume, mesh.MountTmpfs)}},
			"source":    optionalText("Path on the node, or name of the volume. Not for `tmpfs`.", stringvalidator.LengthAtLeast(1)),
			"target":    schema.StringAttribute{Required: true, MarkdownDescription: "Path in the container.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
			"read_only": schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether the container may only read it. Default: `false`."},
		}},
	}
}

func placementAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Where tasks may run. Without it they may run on every node that is not drained. What runs stays where it is for as long as it may; a new task goes to the node with the fewest tasks of the service, then the fewest of all. " +
			"Changed in place: only tasks that may not stay move.",
		Attributes: map[string]schema.Attribute{
			"constraints": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Conditions on the node, all of which have to hold, in Swarm's grammar: `node.labels.disk==ssd`, `node.labels.disk!=ssd`, `node.name==n1`, `node.ip==192.0.2.0/24`. Labels are those of `routingmesh_node`; one that a node does not have is not equal to anything.",
				Validators:          []validator.List{listvalidator.ValueStringsAre(constraintRule{})},
			},
			"spread": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Labels of the nodes over whose values tasks are spread evenly, the first one first: `[\"node.labels.zone\"]`. Not with `global`.",
				Validators:          []validator.List{listvalidator.NoNullValues()},
			},
			"max_per_node": optionalCount("Most tasks of the service on one node. Default: no limit. Not with `global`.", mesh.Limits{First: 1, Last: mesh.Replicas.Last}),
		},
	}
}

func updateAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "How tasks give way to new ones when `task` changes. The apply takes as long as the update, and an apply that is cut off is continued by the next one. " +
			"Increase `timeouts.update` for long ones. Changed in place: it holds from the next update on.",
		Attributes: map[string]schema.Attribute{
			"parallelism": optionalCount("How many tasks at a time. Default: 1.", mesh.Parallelisms),
			"delay":       optionalDuration("Pause after each of these batches, in whole seconds. Default: `0s`."),
			"order": optionalText("`start-first` starts the new task beside the old one, on the same node, and stops that when the new one is good: no request is lost. `stop-first` stops the old one first. "+
				"Default: `start-first`, but `stop-first` for a task that mounts a `volume`.", stringvalidator.OneOf(mesh.StartFirst, mesh.StopFirst)),
			"monitor": optionalDuration("For how long a new task has to run to count as good, in whole seconds; this holds for new services, too. Default: `5s`."),
			"failure_action": optionalText("What follows when a new task fails: `pause` stops the update where it is, and the apply fails; `rollback` brings the task before back, and the apply fails; `continue` goes on, with a warning. Default: `pause`.",
				stringvalidator.OneOf(mesh.FailurePause, mesh.FailureRollback, mesh.FailureContinue)),
		},
	}
}

func replicasAttribute() schema.Attribute {
	return schema.Int64Attribute{
		CustomType: integerType{},
		Optional:   true, Computed: true,
		MarkdownDescription: fmt.Sprintf("How many tasks run, 0–%d. Default: 1 with `task`; null with `endpoints` and with `global`. Changed in place: the tasks with the highest numbers go, the others stay where they are.", mesh.Replicas.Last),
		Validators:          numbers(mesh.Replicas),
		PlanModifiers:       []planmodifier.Int64{oneReplica{}},
	}
}

func globalAttribute() schema.Attribute {
	return schema.BoolAttribute{
		Optional:            true,
		MarkdownDescription: "Whether one task runs on each node that fits, in place of `replicas`, under the node's name. A node that joins gets its task with that. Default: `false`. Changed in place.",
	}
}

func tasksAttribute() schema.Attribute {
	return schema.MapNestedAttribute{
		Computed:            true,
		MarkdownDescription: "The tasks, by number (`1`, `2`, …), or with `global` by node. Null without `task`.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"node":    schema.StringAttribute{Computed: true, MarkdownDescription: "Node on which the task runs."},
			"address": schema.StringAttribute{Computed: true, MarkdownDescription: "Its overlay address, which nodes and members of its networks reach."},
		}},
	}
}

// oneReplica is the default of a service with a task that is not global.
type oneReplica struct{}

func (oneReplica) Description(context.Context) string {
	return "The default is 1 for a service with a task, unless it is global."
}
func (m oneReplica) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

func (oneReplica) PlanModifyInt64(ctx context.Context, req planmodifier.Int64Request, resp *planmodifier.Int64Response) {
	if !req.ConfigValue.IsNull() {
		return
	}
	var task types.Object
	var global types.Bool
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("task"), &task)...)
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("global"), &global)...)
	switch {
	case task.IsNull() || global.ValueBool():
		resp.PlanValue = types.Int64Null()
	case global.IsUnknown():
		resp.PlanValue = types.Int64Unknown()
	default:
		resp.PlanValue = types.Int64Value(1)
	}
}

// constraintRule is mesh's.
type constraintRule struct{}

func (constraintRule) Description(context.Context) string {
	return "a constraint in Swarm's grammar, as in `node.labels.disk==ssd`"
}
func (v constraintRule) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (constraintRule) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if _, err := mesh.NormalConstraint(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("placement"), "Invalid constraint", sentence(err.Error()))
	}
}

var (
	cpusText   = regexp.MustCompile(`^[0-9]{1,4}(\.[0-9]{1,3})?$`)
	memoryText = regexp.MustCompile(`^[1-9][0-9]{0,14}\s?([kKmMgGtT]i?[bB]?|[bB])?$`)
)

func optionalText(description string, rules ...validator.String) schema.Attribute {
	return schema.StringAttribute{Optional: true, MarkdownDescription: description, Validators: rules}
}

func optionalCount(description string, in mesh.Limits) schema.Attribute {
	return schema.Int64Attribute{CustomType: integerType{}, Optional: true, MarkdownDescription: description, Validators: []validator.Int64{int64validator.Between(in.First, in.Last)}}
}

// optionalDuration has no default in the schema: it is null where it is left out.
func optionalDuration(description string) schema.Attribute {
	return schema.StringAttribute{
		CustomType: timetypes.GoDurationType{}, Optional: true, MarkdownDescription: description,
		Validators: []validator.String{wholeDuration{time.Second, 0}}, PlanModifiers: []planmodifier.String{keepSpelling{}},
	}
}

func words(description string) schema.Attribute {
	return schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: description, Validators: []validator.List{listvalidator.NoNullValues()}}
}

func textMap(description string) schema.Attribute {
	return schema.MapAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: description, Validators: []validator.Map{mapvalidator.NoNullValues()}}
}

func textSetOf(description string) schema.Attribute {
	return schema.SetAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: description, Validators: []validator.Set{setvalidator.NoNullValues()}}
}
