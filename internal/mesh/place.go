package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Place says where the tasks of a service run: an endpoint for each. It is a function of the
// record, the service and the endpoints that there were, and nothing else. What runs stays
// where it is, unless it may not: its node has left, drains, or is excluded by a constraint.
// Other tasks go to the node that fits and has, in this order, the fewest tasks of the
// service on nodes of its values of the spread labels, the fewest of the service, the fewest
// at all, and the first name. missing are the tasks that fit nowhere.
func (r *Record) Place(s *Service, before map[string]Endpoint) (placed map[string]Endpoint, missing []string) {
	p := r.newPlacing(s)
	for key := range before {
		p.used[key] = true
	}
	moving := p.keep(before)
	for _, key := range moving {
		p.move(key, before[key])
	}
	for _, task := range p.wanted() {
		if _, stopping := s.Stopping[task]; !stopping && !p.has(task) {
			p.add(task)
		}
	}
	return p.placed, p.missing
}

// keepStopping forgets tasks that were stopped and are not to be started where they were.
func (r *Record) keepStopping(s *Service) {
	p := r.newPlacing(s)
	maps.DeleteFunc(s.Stopping, func(task, node string) bool {
		return !p.wants(Endpoint{Node: node, Task: task, Revision: p.revision}) || r.Nodes[node] == nil || r.excludes(r.Nodes[node], p.rules) != ""
	})
	if len(s.Stopping) == 0 {
		s.Stopping = nil
	}
}

// placing is the search for places of one service's tasks.
type placing struct {
	r        *Record
	s        *Service
	revision string // of the service's task
	names    []string
	rules    []constraint
	placed   map[string]Endpoint
	missing  []string
	used     map[string]bool            // keys of endpoints, of before too: a new task has a new one
	tasks    map[string]map[string]bool // the service's tasks by node
	load     map[string]int             // tasks of all services by node
	slots    map[string]int             // slots taken by node
}

func (r *Record) newPlacing(s *Service) *placing {
	p := &placing{
		r: r, s: s, revision: s.Task.Revision(), names: r.NodeNames(), rules: s.rules(), placed: map[string]Endpoint{},
		used: map[string]bool{}, tasks: map[string]map[string]bool{}, load: map[string]int{}, slots: map[string]int{},
	}
	for task, node := range s.Stopping {
		if p.tasks[node] == nil {
			p.tasks[node] = map[string]bool{}
		}
		p.tasks[node][task] = true
	}
	for name, other := range r.Services {
		if name == s.Name {
			continue
		}
		for _, e := range other.Endpoints {
			p.slots[e.Node] += len(e.Slots)
			if e.Task != "" {
				p.load[e.Node]++
			}
		}
	}
	return p
}

// rules are the service's constraints.
func (s *Service) rules() []constraint {
	if s.Placement == nil {
		return nil
	}
	var rules []constraint
	for _, text := range s.Placement.Constraints {
		if c, err := parseConstraint(text); err == nil {
			rules = append(rules, c)
		}
	}
	return rules
}

// keep takes over what may stay, and returns the keys of what has to move.
func (p *placing) keep(before map[string]Endpoint) (moving []string) {
	for _, key := range slices.SortedFunc(maps.Keys(before), func(a, b string) int {
		return cmp.Or(compareTasks(before[a].Task, before[b].Task), cmp.Compare(a, b))
	}) {
		e := before[key]
		switch {
		case e.Task == "" || !p.wants(e):
		case p.excluded(e.Node, e.Task) == "":
			p.put(key, e)
		case !p.s.Global:
			moving = append(moving, key)
		}
	}
	return moving
}

// wants says that the endpoint is a task of the service as it is now, wherever it is.
func (p *placing) wants(e Endpoint) bool {
	if e.Revision != p.revision && (p.s.Previous == nil || p.s.Previous.Revision() != e.Revision) {
		return false
	}
	if p.s.Global {
		return e.Task == e.Node
	}
	n, err := strconv.Atoi(e.Task)
	return err == nil && n >= 1 && n <= p.s.Replicas && strconv.Itoa(n) == e.Task
}

// wanted are the tasks of the service.
func (p *placing) wanted() []string {
	var tasks []string
	if p.s.Global {
		for _, name := range p.names {
			if p.r.excludes(p.r.Nodes[name], p.rules) == "" {
				tasks = append(tasks, name)
			}
		}
		return tasks
	}
	for i := range p.s.Replicas {
		tasks = append(tasks, strconv.Itoa(i+1))
	}
	return tasks
}

func (p *placing) has(task string) bool {
	for _, e := range p.placed {
		if e.Task == task {
			return true
		}
	}
	return false
}

func (p *placing) put(key string, e Endpoint) {
	p.placed[key], p.used[key] = e, true
	if p.tasks[e.Node] == nil {
		p.tasks[e.Node] = map[string]bool{}
	}
	p.tasks[e.Node][e.Task] = true
	p.load[e.Node]++
	p.slots[e.Node] += len(e.Slots)
}

// move puts a task that has to leave its node on another one, as it is.
func (p *placing) move(key string, e Endpoint) {
	e.Node = p.choose(e.Task)
	e.Slots = []uint16{0}
	if e.Node != "" {
		p.put(key, e)
	}
}

// add puts a task that there is not on a node.
func (p *placing) add(task string) {
	node := task
	if !p.s.Global {
		node = p.choose(task)
	}
	if node == "" || p.excluded(node, task) != "" {
		p.missing = append(p.missing, task)
		return
	}
	p.put(newTaskKey(p.used, task, p.revision), p.r.taskEndpoint(p.s.Name, node, task, p.revision))
}

// choose returns the best node that fits, "" for none.
func (p *placing) choose(task string) string {
	best, rank := "", []int(nil)
	for _, name := range p.names {
		if p.excluded(name, task) != "" {
			continue
		}
		if this := p.rank(name); best == "" || slices.Compare(this, rank) < 0 {
			best, rank = name, this
		}
	}
	return best
}

// rank is what makes a node worse than another.
func (p *placing) rank(node string) []int {
	var rank []int
	if p.s.Placement != nil {
		for _, spread := range p.s.Placement.Spread {
			label, count := strings.TrimPrefix(spread, nodeLabels), 0
			for name, tasks := range p.tasks {
				if p.r.Nodes[name].Labels[label] == p.r.Nodes[node].Labels[label] {
					count += len(tasks)
				}
			}
			rank = append(rank, count)
		}
	}
	return append(rank, len(p.tasks[node]), p.load[node])
}

// excluded says why the node cannot run the task beside what is placed, "" if it can.
func (p *placing) excluded(node, task string) string {
	n := p.r.Nodes[node]
	if n == nil {
		return "it has left"
	}
	if why := p.r.excludes(n, p.rules); why != "" {
		return why
	}
	others := len(p.tasks[node])
	if p.tasks[node][task] {
		others--
	}
	switch {
	case p.s.Placement != nil && p.s.Placement.MaxPerNode > 0 && others >= p.s.Placement.MaxPerNode:
		return fmt.Sprintf("it has as many of the service's tasks as max_per_node = %d lets it have", p.s.Placement.MaxPerNode)
	case p.r.Cluster.NodePrefixLength > 0 && p.slots[node] >= p.r.Cluster.slots():
		return fmt.Sprintf("all %d slots for containers that it has room for are taken", p.r.Cluster.slots())
	}
	return ""
}

// excludes says why the node runs no task by these constraints, "" if it may.
func (r *Record) excludes(n *Node, rules []constraint) string {
	if !n.Serving() {
		return `its availability is "drain"`
	}
	for _, c := range rules {
		if !c.fits(n) {
			return "a constraint is " + c.excludes(n)
		}
	}
	return ""
}

// taskEndpoint is a new task on the node.
func (r *Record) taskEndpoint(service, node, task, revision string) Endpoint {
	return Endpoint{
		Node: node, Container: &Container{Labels: r.TaskLabels(service, task, revision)}, Slots: []uint16{0},
		Task: task, Revision: revision,
	}
}

// newTaskKey is the task's name, or, where an endpoint has that (the task's of the revision
// before), one with the revision. A task keeps its key for as long as it runs.
func newTaskKey(used map[string]bool, task, revision string) string {
	key := task
	for i := 1; used[key]; i++ {
		if key = task + "." + revision; i > 1 {
			key += "." + strconv.Itoa(i)
		}
	}
	return key
}

// compareTasks orders tasks: numbers by value, before names.
func compareTasks(a, b string) int {
	x, errA := strconv.Atoi(a)
	y, errB := strconv.Atoi(b)
	if errA == nil && errB == nil {
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

// Unplaced says which tasks of the service have no node, and why each node is none for them,
// as an *Error; nil where all have one.
func (r *Record) Unplaced(s *Service) error {
	if s.Task == nil {
		return nil
	}
	placed, missing := r.Place(s, s.Endpoints)
	return r.unplaced(s, placed, missing)
}

func (r *Record) unplaced(s *Service, placed map[string]Endpoint, missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	if len(r.Nodes) == 0 {
		return s.fail("task", "The cluster %s has no node yet on which the service's tasks could run. Terraform does not know that the service needs its nodes: "+
			"say so with depends_on = [routingmesh_node.….] in the service.", r.Cluster.Name)
	}
	p := r.newPlacing(s)
	for key, e := range placed {
		p.put(key, e)
	}
	var reasons []string
	for _, name := range p.names {
		if why := p.excluded(name, missing[0]); why != "" {
			reasons = append(reasons, fmt.Sprintf("node %s: %s", name, why))
		}
	}
	attribute, of := "placement", s.Replicas
	if s.Placement == nil {
		attribute = "task"
	}
	if s.Global {
		of = len(p.wanted())
	}
	return &Error{Object: ServiceRef(s.Name), Attribute: attribute, Summary: "No node for a task", Detail: fmt.Sprintf(
		"%d of the service's %d tasks have no node to run on. No further one fits: %s. Loosen the placement, add or activate nodes, or lower replicas. "+
			"If nodes of the configuration are still to be created, have the service wait for them with depends_on.",
		len(missing), of, strings.Join(reasons, "; "))}
}

// replaceTasks places all tasks again after a change of the nodes: those of a node that has
// left or drains move, global services get a task on one that has joined. What fits nowhere
// is missing until it fits (Unplaced).
func (r *Record) replaceTasks() {
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		s := r.Services[name]
		if s.Task == nil {
			continue
		}
		put := s.clone()
		r.keepStopping(put)
		if put.Endpoints, _ = r.Place(put, s.Endpoints); reflect.DeepEqual(put.Endpoints, s.Endpoints) && len(put.Stopping) == len(s.Stopping) {
			continue
		}
		if r.allocateSlots(put) == nil {
			r.Services[name] = put
		}
	}
}
