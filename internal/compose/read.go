package compose

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// Read turns the text of a Compose file into a stack of the project, whose variables have these values.
// Services that a profile holds back are part of it. An error names the attribute.
func Read(ctx context.Context, text, project string, variables map[string]string) (*Stack, error) {
	p, unsupported, err := load(ctx, text, project, variables)
	if err != nil {
		return nil, err
	}
	r := &reader{project: p, notes: []string{}}
	s := &Stack{Networks: map[string]Network{}, Services: map[string]Service{}, Ports: map[string]Port{}}
	for _, name := range sortedKeys(p.Services) {
		of := p.Services[name]
		if s.Services[name], err = r.service(of); err != nil {
			return nil, err
		}
		if err := r.ports(of, s.Ports); err != nil {
			return nil, err
		}
		for of := range of.Networks {
			if n := r.network(of); !bool(p.Networks[of].External) {
				s.Networks[n] = Network{Name: n}
			}
		}
	}
	for _, u := range unsupported {
		if why := reason(string(u.Path), u.Value); why != "" {
			r.note("%s", why)
		}
	}
	slices.Sort(r.notes)
	s.Unsupported = slices.Compact(r.notes)
	return s, nil
}

// reader keeps what is told of a file beside the stack.
type reader struct {
	project *types.Project
	notes   []string
}

func (r *reader) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// full is the name of something of the project, in the letters that a name may have.
func (r *reader) full(name string) string { return label(r.project.Name + "-" + name) }

// network is the name of a network of the file.
func (r *reader) network(name string) string {
	n := r.project.Networks[name]
	if bool(n.External) && n.Name != "" {
		return label(n.Name)
	}
	return r.full(name)
}

// volume is the name of a volume of the file, as `docker compose` and `docker stack` make it: one that is
// there already is used on.
func (r *reader) volume(name string) string {
	if v, ok := r.project.Volumes[name]; ok && v.Name != "" {
		return v.Name
	}
	return r.project.Name + "_" + name
}

// alias is a name by which others find the service.
func (r *reader) alias(service, name string) string {
	a := label(name)
	if a != name {
		r.note("services.%s: its name %q is %q in its networks, as names there are those of DNS", service, name, a)
	}
	return a
}

// label makes a name one of DNS, as the mesh's are: underscores become hyphens.
func label(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// reasons are what there is to do instead, by the attribute of a service.
var reasons = map[string]string{ //nolint:gosec // "secrets" is an attribute of Compose
	"build":          "the nodes build no images; `image` has to be in a registry that they reach",
	"depends_on":     "all services start at once, and restart until what they need answers",
	"env_file":       "a function of Terraform reads no files; use `environment`, or the output of `docker compose config`",
	"label_file":     "a function of Terraform reads no files; use `labels`, or the output of `docker compose config`",
	"secrets":        "put the file on the nodes, and mount it with `volumes`",
	"configs":        "put the file on the nodes, and mount it with `volumes`",
	"container_name": "each task has a name of its own; others find the service by its name",
	"hostname":       "each task has a name of its own; others find the service by its name",
	"links":          "services of one network find each other by name",
}

// reason is what there is to say of an attribute that has no counterpart; "" for one that asks for nothing.
func reason(path string, value any) string {
	parts := strings.Split(path, ".")
	switch v := reflect.ValueOf(value); {
	case !v.IsValid() || v.IsZero(), (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0:
		return ""
	case parts[0] == "secrets" || parts[0] == "configs": // it is said of each service that uses one
		return ""
	case parts[0] == "volumes" && parts[len(parts)-1] == "driver" && value == "local":
		return ""
	case parts[0] == "networks" && parts[len(parts)-1] == "internal":
		return path + ": containers keep the way out that their engine gives them"
	case parts[0] == "services" && len(parts) > 2 && reasons[parts[2]] != "":
		return path + ": " + reasons[parts[2]]
	}
	return path
}
