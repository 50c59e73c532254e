package provider

import (
	"context"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// taskModel is a task of which everything is known; what is left out is nil.
type taskModel struct {
	Image       string            `tfsdk:"image"`
	Engine      *string           `tfsdk:"engine"`
	Entrypoint  []string          `tfsdk:"entrypoint"`
	Command     []string          `tfsdk:"command"`
	Env         map[string]string `tfsdk:"env"`
	User        *string           `tfsdk:"user"`
	WorkDir     *string           `tfsdk:"workdir"`
	Mounts      []mountModel      `tfsdk:"mounts"`
	Limits      *limitsModel      `tfsdk:"limits"`
	Restart     *restartModel     `tfsdk:"restart"`
	StopGrace   *string           `tfsdk:"stop_grace_period"`
	StopSignal  *string           `tfsdk:"stop_signal"`
	Labels      map[string]string `tfsdk:"labels"`
	CapAdd      []string          `tfsdk:"cap_add"`
	CapDrop     []string          `tfsdk:"cap_drop"`
	ReadOnly    *bool             `tfsdk:"read_only"`
	Sysctls     map[string]string `tfsdk:"sysctls"`
	LogDriver   *string           `tfsdk:"log_driver"`
	LogOptions  map[string]string `tfsdk:"log_options"`
	HealthCheck *taskCheckModel   `tfsdk:"health_check"`
}

type mountModel struct {
	Type     string  `tfsdk:"type"`
	Source   *string `tfsdk:"source"`
	Target   string  `tfsdk:"target"`
	ReadOnly *bool   `tfsdk:"read_only"`
}

type limitsModel struct {
	CPUs   *string `tfsdk:"cpus"`
	Memory *string `tfsdk:"memory"`
	PIDs   *int64  `tfsdk:"pids"`
}

type restartModel struct {
	Condition   *string `tfsdk:"condition"`
	Delay       *string `tfsdk:"delay"`
	MaxAttempts *int64  `tfsdk:"max_attempts"`
}

type taskCheckModel struct {
	Test        []string `tfsdk:"test"`
	Interval    *string  `tfsdk:"interval"`
	Timeout     *string  `tfsdk:"timeout"`
	StartPeriod *string  `tfsdk:"start_period"`
	Retries     *int64   `tfsdk:"retries"`
}

type placementModel struct {
	Constraints []string `tfsdk:"constraints"`
	Spread      []string `tfsdk:"spread"`
	MaxPerNode  *int64   `tfsdk:"max_per_node"`
}

type updateModel struct {
	Parallelism   *int64  `tfsdk:"parallelism"`
	Delay         *string `tfsdk:"delay"`
	Order         *string `tfsdk:"order"`
	Monitor       *string `tfsdk:"monitor"`
	FailureAction *string `tfsdk:"failure_action"`
}

type taskPlaceModel struct {
	Node    string  `tfsdk:"node"`
	Address *string `tfsdk:"address"`
}

var taskPlaceType = types.ObjectType{AttrTypes: map[string]attr.Type{"node": types.StringType, "address": types.StringType}}

// fullyKnown says that there is an object of which everything is known, at any depth.
func fullyKnown(ctx context.Context, object types.Object) bool {
	v, err := object.ToTerraformValue(ctx)
	return err == nil && !object.IsNull() && v.IsFullyKnown()
}

// taskToMesh converts what of the service's task is known.
func (m *serviceModel) taskToMesh(ctx context.Context, s *mesh.Service, diags *diag.Diagnostics) {
	s.Replicas, s.Global = int(m.Replicas.ValueInt64()), m.Global.ValueBool()
	s.Task = taskOf(ctx, m.Task, diags)
	if fullyKnown(ctx, m.Placement) {
		var p placementModel
		diags.Append(m.Placement.As(ctx, &p, basetypes.ObjectAsOptions{})...)
		s.Placement = &mesh.Placement{Constraints: p.Constraints, Spread: p.Spread, MaxPerNode: int(or(p.MaxPerNode))}
	}
	if fullyKnown(ctx, m.Update) {
		var u updateModel
		diags.Append(m.Update.As(ctx, &u, basetypes.ObjectAsOptions{})...)
		s.Update = &mesh.UpdatePolicy{
			Parallelism: int(or(u.Parallelism)), DelaySeconds: or(secondsOf(u.Delay)), Order: or(u.Order), MonitorSeconds: secondsOf(u.Monitor), FailureAction: or(u.FailureAction),
		}
	}
}

func taskOf(ctx context.Context, object types.Object, diags *diag.Diagnostics) *mesh.Task {
	if !fullyKnown(ctx, object) {
		return nil
	}
	var m taskModel
	diags.Append(object.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	t := &mesh.Task{
		Engine: or(m.Engine), Image: m.Image, Entrypoint: m.Entrypoint, Command: m.Command, Env: m.Env, User: or(m.User), WorkDir: or(m.WorkDir),
		StopGraceSeconds: secondsOf(m.StopGrace), StopSignal: or(m.StopSignal), Labels: m.Labels, CapAdd: m.CapAdd, CapDrop: m.CapDrop, ReadOnly: or(m.ReadOnly),
		Sysctls: m.Sysctls, LogDriver: or(m.LogDriver), LogOptions: m.LogOptions,
	}
	for _, mount := range m.Mounts {
		t.Mounts = append(t.Mounts, mesh.TaskMount{Type: mount.Type, Source: or(mount.Source), Target: mount.Target, ReadOnly: or(mount.ReadOnly)})
	}
	if l := m.Limits; l != nil {
		t.Limits = mesh.TaskLimits{MilliCPUs: milliCPUs(or(l.CPUs)), MemoryBytes: memoryBytes(or(l.Memory)), PIDs: or(l.PIDs)}
	}
	if r := m.Restart; r != nil {
		t.Restart = mesh.TaskRestart{Condition: or(r.Condition), DelaySeconds: secondsOf(r.Delay), MaxAttempts: int(or(r.MaxAttempts))}
	}
	if h := m.HealthCheck; h != nil {
		t.HealthCheck = &mesh.TaskHealthCheck{
			Test: h.Test, IntervalSeconds: or(secondsOf(h.Interval)), TimeoutSeconds: or(secondsOf(h.Timeout)), StartPeriodSeconds: or(secondsOf(h.StartPeriod)), Retries: int(or(h.Retries)),
		}
	}
	return t
}

// taskFromMesh takes over what the record says. What means the same stays as somebody has
// written it.
func (m *serviceModel) taskFromMesh(ctx context.Context, s *mesh.Service) (diags diag.Diagnostics) {
	var written mesh.Service
	m.taskToMesh(ctx, &written, &diags)
	was := written.Canonical()
	m.Replicas = types.Int64Null()
	if s.Task != nil && !s.Global {
		m.Replicas = types.Int64Value(int64(s.Replicas))
	}
	if s.Global != m.Global.ValueBool() || m.Global.IsUnknown() {
		m.Global = types.BoolValue(s.Global)
	}
	read := func(into *types.Object, same bool, like attr.Type, value any) {
		object, _ := like.(types.ObjectType)
		if same && !into.IsUnknown() && len(into.AttributeTypes(ctx)) > 0 {
			return
		}
		var ds diag.Diagnostics
		*into, ds = types.ObjectValueFrom(ctx, object.AttrTypes, value)
		diags.Append(ds...)
	}
	read(&m.Task, reflect.DeepEqual(was.Task, asked(s.Task)), taskAttribute().GetType(), taskModelOf(s.Task))
	read(&m.Placement, reflect.DeepEqual(was.Placement, s.Placement), placementAttribute().GetType(), placementModelOf(s.Placement))
	read(&m.Update, reflect.DeepEqual(was.Update, s.Update), updateAttribute().GetType(), updateModelOf(s.Update))
	return diags
}

// asked is the task without what PutService has added.
func asked(t *mesh.Task) *mesh.Task {
	if t == nil {
		return nil
	}
	c := *t
	c.Names = false
	return &c
}

func taskModelOf(t *mesh.Task) *taskModel {
	if t == nil {
		return nil
	}
	m := &taskModel{
		Image: t.Image, Engine: orNil(t.Engine), Entrypoint: t.Entrypoint, Command: t.Command, Env: t.Env, User: orNil(t.User), WorkDir: orNil(t.WorkDir),
		StopGrace: durationOrNil(t.StopGraceSeconds), StopSignal: orNil(t.StopSignal), Labels: t.Labels, CapAdd: t.CapAdd, CapDrop: t.CapDrop, ReadOnly: unlessZero(t.ReadOnly),
		Sysctls: t.Sysctls, LogDriver: orNil(t.LogDriver), LogOptions: t.LogOptions,
	}
	for _, mount := range t.Mounts {
		m.Mounts = append(m.Mounts, mountModel{mount.Type, orNil(mount.Source), mount.Target, unlessZero(mount.ReadOnly)})
	}
	if l := t.Limits; l != (mesh.TaskLimits{}) {
		m.Limits = &limitsModel{CPUs: orNil(cpusOf(l.MilliCPUs)), Memory: orNil(memoryOf(l.MemoryBytes)), PIDs: unlessZero(l.PIDs)}
	}
	if r := t.Restart; r != (mesh.TaskRestart{}) {
		m.Restart = &restartModel{orNil(r.Condition), durationOrNil(r.DelaySeconds), unlessZero(int64(r.MaxAttempts))}
	}
	if h := t.HealthCheck; h != nil {
		m.HealthCheck = &taskCheckModel{
			Test: h.Test, Interval: durationOrNil(unlessZero(h.IntervalSeconds)), Timeout: durationOrNil(unlessZero(h.TimeoutSeconds)),
			StartPeriod: durationOrNil(unlessZero(h.StartPeriodSeconds)), Retries: unlessZero(int64(h.Retries)),
		}
	}
	return m
}

func placementModelOf(p *mesh.Placement) *placementModel {
	if p == nil {
		return nil
	}
	return &placementModel{p.Constraints, p.Spread, unlessZero(int64(p.MaxPerNode))}
}

func updateModelOf(u *mesh.UpdatePolicy) *updateModel {
	if u == nil {
		return nil
	}
	return &updateModel{unlessZero(int64(u.Parallelism)), durationOrNil(unlessZero(u.DelaySeconds)), orNil(u.Order), durationOrNil(u.MonitorSeconds), orNil(u.FailureAction)}
}

// tasksOf is where the service's tasks are by the record; of a task that is there twice, its
// new revision.
func tasksOf(ctx context.Context, r *mesh.Record, service string, diags *diag.Diagnostics) types.Map {
	if r == nil || r.Services[service] == nil || r.Services[service].Task == nil {
		return types.MapNull(taskPlaceType)
	}
	s, places := r.Services[service], map[string]taskPlaceModel{}
	for _, e := range s.Endpoints {
		if _, twice := places[e.Task]; twice && e.Revision != s.Task.Revision() {
			continue
		}
		place := taskPlaceModel{Node: e.Node}
		if n := r.Nodes[e.Node]; n != nil && len(e.Slots) > 0 {
			place.Address = new(n.SlotAddress(e.Slots[0]).String())
		}
		places[e.Task] = place
	}
	tasks, ds := types.MapValueFrom(ctx, taskPlaceType, places)
	diags.Append(ds...)
	return tasks
}

// givenTasks takes where the record has put the tasks, where it was not known. Of no record it
// is null: the next Read has it.
func (m *serviceModel) givenTasks(ctx context.Context, r *mesh.Record, diags *diag.Diagnostics) {
	if m.Tasks.IsUnknown() {
		m.Tasks = tasksOf(ctx, r, m.Name.ValueString(), diags)
	}
}

// sameTasks says that no task is to start, stop or move.
func (m *serviceModel) sameTasks(o *serviceModel) bool {
	networked := func(m *serviceModel) bool { return len(m.Networks.Elements()) > 0 }
	if m.Networks.IsUnknown() || networked(m) != networked(o) { // which says whom tasks ask for names
		return false
	}
	return m.Task.Equal(o.Task) && m.Replicas.Equal(o.Replicas) && m.Global.Equal(o.Global) && m.Placement.Equal(o.Placement) && m.Update.Equal(o.Update)
}

// or is what v points to, or the zero value.
func or[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}

func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// secondsOf is a duration that its type and its validator have checked.
func secondsOf(text *string) *int {
	if text == nil {
		return nil
	}
	d, err := time.ParseDuration(*text)
	if err != nil {
		return nil
	}
	return new(int(d / time.Second))
}

func durationOrNil(seconds *int) *string {
	if seconds == nil {
		return nil
	}
	return new(durationText(time.Duration(*seconds) * time.Second))
}

func milliCPUs(text string) int64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return int64(math.Round(f * 1000))
}

func cpusOf(milli int64) string {
	if milli == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64)
}

var memoryUnits = "bkmgt"

// memoryBytes reads a number with a unit, which is binary.
func memoryBytes(text string) int64 {
	digits := strings.TrimRight(text, "kKmMgGtTiIbB ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	if unit := strings.ToLower(strings.TrimSpace(text[len(digits):])); unit != "" {
		for range strings.Index(memoryUnits, unit[:1]) {
			if n > math.MaxInt64>>10 {
				return math.MaxInt64
			}
			n <<= 10
		}
	}
	return n
}

func memoryOf(n int64) string {
	if n == 0 {
		return ""
	}
	unit := 0
	for ; n%1024 == 0 && unit < len(memoryUnits)-1; unit++ {
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + []string{"", "KiB", "MiB", "GiB", "TiB"}[unit]
}
