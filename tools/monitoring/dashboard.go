package main

// Grafana's dashboard model, as much of it as this dashboard needs.
type (
	object map[string]any

	// Dashboard is the file that is imported.
	Dashboard struct {
		Title         string     `json:"title"`
		UID           string     `json:"uid"`
		Description   string     `json:"description"`
		Tags          []string   `json:"tags"`
		SchemaVersion int        `json:"schemaVersion"`
		Editable      bool       `json:"editable"`
		Refresh       string     `json:"refresh"`
		Time          object     `json:"time"`
		Templating    Templating `json:"templating"`
		Panels        []Panel    `json:"panels"`
	}
	// Templating has the variables.
	Templating struct {
		List []Variable `json:"list"`
	}
	// Variable is chosen at the top of the dashboard.
	Variable struct {
		Name       string `json:"name"`
		Label      string `json:"label"`
		Type       string `json:"type"`
		Query      string `json:"query"`
		Definition string `json:"definition,omitempty"`
		Datasource object `json:"datasource,omitempty"`
		Refresh    int    `json:"refresh,omitempty"`
		IncludeAll bool   `json:"includeAll,omitempty"`
		Multi      bool   `json:"multi,omitempty"`
		AllValue   string `json:"allValue,omitempty"`
		Current    object `json:"current,omitempty"`
	}
	// Panel is a plot, a number or the title of a row.
	Panel struct {
		ID          int      `json:"id"`
		Type        string   `json:"type"`
		Title       string   `json:"title"`
		Description string   `json:"description,omitempty"`
		GridPos     GridPos  `json:"gridPos"`
		Datasource  object   `json:"datasource,omitempty"`
		Targets     []Target `json:"targets,omitempty"`
		FieldConfig object   `json:"fieldConfig,omitempty"`
		Options     object   `json:"options,omitempty"`
	}
	// GridPos is where a panel is, on a grid of 24 columns.
	GridPos struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	// Target is a query.
	Target struct {
		RefID        string `json:"refId"`
		Datasource   object `json:"datasource"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat,omitempty"`
		Instant      bool   `json:"instant,omitempty"`
	}
)

// source is what the variable datasource has chosen.
func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

// grid places panels from left to right, in rows of one height.
type grid struct {
	panels     []Panel
	x, y, high int
}

const columns = 24

func (g *grid) put(p Panel, width, height int) {
	if g.x+width > columns || height != g.high {
		g.x, g.y, g.high = 0, g.y+g.high, height
	}
	p.ID, p.GridPos = len(g.panels)+1, GridPos{H: height, W: width, X: g.x, Y: g.y}
	g.panels = append(g.panels, p)
	g.x += width
}

func (g *grid) title(text string) {
	g.x = columns // a row of its own
	g.put(Panel{Type: "row", Title: text}, columns, 1)
}

// number is one figure; from limit on it is shown in the colour.
func (g *grid) number(title, description, expr, color string) {
	steps := []object{{"color": "green", "value": nil}}
	if color != "" {
		steps = append(steps, object{"color": color, "value": 1})
	}
	g.put(Panel{
		Type: "stat", Title: title, Description: description, Datasource: source(),
		Targets:     []Target{{RefID: "A", Datasource: source(), Expr: expr, Instant: true}},
		FieldConfig: object{"defaults": object{"thresholds": object{"mode": "absolute", "steps": steps}}, "overrides": []object{}},
		Options:     object{"colorMode": "value", "graphMode": "none", "reduceOptions": object{"calcs": []string{"lastNotNull"}}},
	}, 4, 4)
}

// plot is curves over time.
func (g *grid) plot(title, description, unit string, width int, targets ...[2]string) {
	p := Panel{
		Type: "timeseries", Title: title, Description: description, Datasource: source(),
		FieldConfig: object{"defaults": object{"unit": unit, "min": 0, "custom": object{"fillOpacity": 10, "showPoints": "never"}}, "overrides": []object{}},
		Options:     object{"legend": object{"displayMode": "table", "placement": "bottom", "calcs": []string{"lastNotNull", "max"}}, "tooltip": object{"mode": "multi", "sort": "desc"}},
	}
	for i, t := range targets {
		p.Targets = append(p.Targets, Target{RefID: string(rune('A' + i)), Datasource: source(), Expr: t[0], LegendFormat: t[1]})
	}
	g.put(p, width, 8)
}

// states are bands over time: green for 1, red for 0.
func (g *grid) states(title, description, expr, legend string) {
	mapping := object{"type": "value", "options": object{
		"0": object{"text": "fails", "color": "red"}, "1": object{"text": "passes", "color": "green"},
	}}
	g.put(Panel{
		Type: "state-timeline", Title: title, Description: description, Datasource: source(),
		Targets:     []Target{{RefID: "A", Datasource: source(), Expr: expr, LegendFormat: legend}},
		FieldConfig: object{"defaults": object{"mappings": []object{mapping}, "custom": object{"fillOpacity": 70}}, "overrides": []object{}},
		Options:     object{"mergeValues": true, "showValue": "never", "rowHeight": 0.8},
	}, 12, 8)
}

// dashboard is one cluster: whether all is well, what clients do, and how each node is.
func dashboard() Dashboard {
	g := &grid{}
	g.summary()
	g.traffic()
	g.endpoints()
	g.nodes()
	return Dashboard{
		Title: "Routing mesh", UID: "routingmesh", Tags: []string{"routingmesh"}, SchemaVersion: 39, Editable: true, Refresh: "30s",
		Description: "A cluster of terraform-provider-routingmesh. Each node counts what comes in through it.",
		Time:        object{"from": "now-6h", "to": "now"},
		Templating: Templating{List: []Variable{
			{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"},
			{
				Name: "job", Label: "Cluster (job)", Type: "query", Datasource: source(), Refresh: 2,
				Query: "label_values(routingmesh_agent_info, job)", Definition: "label_values(routingmesh_agent_info, job)",
			},
			{
				Name: "service", Label: "Service", Type: "query", Datasource: source(), Refresh: 2, IncludeAll: true, Multi: true, AllValue: ".*",
				Query: `label_values(routingmesh_port_connections_total{job="$job"}, service)`, Definition: `label_values(routingmesh_port_connections_total{job="$job"}, service)`,
				Current: object{"text": []string{"All"}, "value": []string{"$__all"}},
			},
		}},
		Panels: g.panels,
	}
}

func (g *grid) summary() {
	g.title("Is all well?")
	g.number("Nodes", "Nodes that answer Prometheus.", `count(routingmesh_agent_info{job="$job"})`, "")
	g.number("Nodes behind", "Nodes with an older record than others, or whose kernel does not have theirs as a whole. See the alerts RoutingMeshNodeBehind and RoutingMeshNotApplied.",
		`count(routingmesh_applied_generation{job="$job"} < on (job) group_left () max by (job) (routingmesh_record_generation)) or vector(0)`, "orange")
	g.number("Warnings", "What keeps traffic from flowing and no apply can repair: `routingmesh-agent status` on the node says it.", `sum(routingmesh_warnings{job="$job"})`, "red")
	g.number("Problems", "What kernels do not have as the record asks: the drift of a plan.", `sum(routingmesh_problems{job="$job"})`, "orange")
	g.number("Unhealthy endpoints", "Endpoints that fail the health checks of a node.", `count(count by (service, endpoint, address) (routingmesh_endpoint_healthy{job="$job"} == 0)) or vector(0)`, "orange")
	g.number("Repairs in 24 h", "Objects that the agents have repaired because something else had broken them.", `sum(increase(routingmesh_repairs_total{job="$job"}[24h]))`, "orange")
}

func (g *grid) traffic() {
	g.title("Traffic")
	const of = `{job="$job", service=~"$service"}[$__rate_interval]))`
	g.plot("Connections per second", "New connections (for udp: clients), by service and published port.", "cps", 12,
		[2]string{`sum by (service, port) (rate(routingmesh_port_connections_total` + of, "{{service}} {{port}}"})
	g.plot("Bytes per second", "From clients (in) and to them (out), by service.", "Bps", 12,
		[2]string{`sum by (service) (rate(routingmesh_port_in_bytes_total` + of, "{{service}} in"},
		[2]string{`sum by (service) (rate(routingmesh_port_out_bytes_total` + of, "{{service}} out"})
	g.plot("Packets per second", "From clients (in) and to them (out), by service. Packets in and none out are connections that nobody answers.", "pps", 12,
		[2]string{`sum by (service) (rate(routingmesh_port_in_packets_total` + of, "{{service}} in"},
		[2]string{`sum by (service) (rate(routingmesh_port_out_packets_total` + of, "{{service}} out"})
	g.plot("Connections per second, by entry node", "Through which node clients come in: how even the load balancer in front is.", "cps", 12,
		[2]string{`sum by (instance) (rate(routingmesh_port_connections_total` + of, "{{instance}}"})
}

func (g *grid) endpoints() {
	g.title("Endpoints")
	const of = `{job="$job", service=~"$service"}`
	g.states("Health checks", "An endpoint passes where every node's checks of it do.", `min by (service, endpoint, address) (routingmesh_endpoint_healthy`+of+`)`, "{{service}} {{endpoint}} {{address}}")
	g.plot("Connections per second, by endpoint", "How evenly the scheduler spreads new connections.", "cps", 12,
		[2]string{`sum by (service, endpoint) (rate(routingmesh_endpoint_connections_total{job="$job", service=~"$service"}[$__rate_interval]))`, "{{service}} {{endpoint}}"})
	g.plot("Open connections", "Established connections, by endpoint.", "short", 12, [2]string{`sum by (service, endpoint) (routingmesh_endpoint_active_connections` + of + `)`, "{{service}} {{endpoint}}"})
	g.plot("Connections that open or close", "For udp: all. Many of them beside few that are established are clients that are not answered.", "short", 12,
		[2]string{`sum by (service, endpoint) (routingmesh_endpoint_inactive_connections` + of + `)`, "{{service}} {{endpoint}}"})
	g.plot("Draining", "On how many nodes an endpoint is on its way out.", "short", 12, [2]string{`sum by (service, endpoint) (routingmesh_endpoint_draining` + of + `)`, "{{service}} {{endpoint}}"})
	g.plot("Weight", "The lowest weight that a node gives an endpoint; 0 gets no new connections.", "short", 12, [2]string{`min by (service, endpoint) (routingmesh_endpoint_weight` + of + `)`, "{{service}} {{endpoint}}"})
}

func (g *grid) nodes() {
	g.title("Nodes")
	const of = `{job="$job"}`
	g.plot("Warnings", "By code: path is the effect, the others are causes.", "short", 12, [2]string{`routingmesh_warnings` + of, "{{instance}} {{code}}"})
	g.plot("Problems", "Objects that are not as the record asks.", "short", 12, [2]string{`routingmesh_problems` + of, "{{instance}}"})
	g.plot("Repairs per hour", "A node where it does not come back to 0 has another program that fights the mesh.", "short", 12, [2]string{`increase(routingmesh_repairs_total` + of + `[1h])`, "{{instance}}"})
	g.plot("Generation of the record", "What each node has, and what its kernel had last as a whole. All curves are one where all is well.", "none", 12,
		[2]string{`routingmesh_record_generation` + of, "{{instance}}"}, [2]string{`routingmesh_applied_generation` + of, "{{instance}} applied"})
	g.plot("Last change", "How long the last change took to reach the kernel.", "s", 12, [2]string{`routingmesh_last_apply_seconds` + of, "{{instance}}"})
	g.plot("Since the last change", "Age of what the kernel has.", "s", 12, [2]string{`time() - routingmesh_last_apply_timestamp_seconds` + of, "{{instance}}"})
	g.plot("Queries for names", "By members of networks on the node, by what became of them.", "qps", 12, [2]string{`sum by (outcome) (rate(routingmesh_name_queries_total{job="$job"}[$__rate_interval]))`, "{{outcome}}"})
	g.plot("Agents, by version", "", "none", 12, [2]string{`count by (version) (routingmesh_agent_info` + of + `)`, "{{version}}"})
}
