package provider

import (
	"context"
	"reflect"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/compose"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// composeFunction gives what compose.Read reads to Terraform.
type composeFunction struct{}

var _ function.Function = (*composeFunction)(nil)

func newCompose() function.Function { return &composeFunction{} }

func (composeFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "compose"
}

func (composeFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "What a Compose file asks for, as arguments of this provider's resources",
		MarkdownDescription: "Reads the text of a [Compose file](https://compose-spec.io) as `docker stack deploy` does, and returns an object whose parts are for `for_each`. The module `stack` makes resources of it.\n\n" +
			"| attribute | is |\n|---|---|\n" +
			"| `networks` | a map of objects with the `name` of a `routingmesh_network`; those that are `external` are left out |\n" +
			"| `services` | a map by the service's name in the file, of objects with the attributes of a `routingmesh_service` |\n" +
			"| `ports` | a map by `SERVICE/PORT/PROTOCOL`, of objects with the attributes of a `routingmesh_published_port`; `service` is the service's name in the file |\n" +
			"| `unsupported` | a list of what the file asks for and the mesh does not have. Nothing is dropped in silence: whatever is not in the other parts is here |\n\n" +
			"Names begin with the project's, and have hyphens for underscores. In its networks a service also has its name in the file. Volumes are called as Docker calls them, `PROJECT_VOLUME`: those that exist on a node are used on. " +
			"Paths of bind mounts are those of the nodes.\n\n" +
			"The function reads no other file and no environment: `include`, `extends` of other files and `env_file` are errors or in `unsupported`. The output of `docker compose config` has all in one file.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "file", MarkdownDescription: "The text of the Compose file: `file(\"compose.yaml\")`."},
			function.StringParameter{Name: "project", MarkdownDescription: "Name of the project (of the stack, in Swarm's words), with which all names begin: 1–63 of a–z, 0–9 and -, not starting or ending with -."},
			function.MapParameter{Name: "env", ElementType: types.StringType, MarkdownDescription: "Values of the file's variables, `${NAME}`. One that has no value, and no default in the file, is an error."},
		},
		Return: function.ObjectReturn{AttributeTypes: attributesOf(reflect.TypeFor[compose.Stack]())},
	}
}

func (composeFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var text, project string
	var env map[string]string
	if resp.Error = req.Arguments.Get(ctx, &text, &project, &env); resp.Error != nil {
		return
	}
	if err := mesh.CheckName(project); err != nil {
		resp.Error = badArgument(1, "%w", err)
		return
	}
	stack, err := compose.Read(ctx, text, project, env)
	if err != nil {
		resp.Error = badArgument(0, "%w", err)
		return
	}
	resp.Error = resp.Result.Set(ctx, stack)
}

// attributesOf are the types of a struct's fields, by their tfsdk tags.
func attributesOf(t reflect.Type) map[string]attr.Type {
	attributes := map[string]attr.Type{}
	for f := range t.Fields() {
		attributes[f.Tag.Get("tfsdk")] = attributeOf(f.Type)
	}
	return attributes
}

func attributeOf(t reflect.Type) attr.Type {
	switch t.Kind() {
	case reflect.Pointer:
		return attributeOf(t.Elem())
	case reflect.Map:
		return types.MapType{ElemType: attributeOf(t.Elem())}
	case reflect.Slice:
		return types.ListType{ElemType: attributeOf(t.Elem())}
	case reflect.Struct:
		return types.ObjectType{AttrTypes: attributesOf(t)}
	case reflect.Int64:
		return types.Int64Type
	case reflect.Float64:
		return types.Float64Type
	case reflect.Bool:
		return types.BoolType
	default:
		return types.StringType
	}
}
