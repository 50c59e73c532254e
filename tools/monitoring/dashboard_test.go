package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// committed is the dashboard that people import.
func committed(t *testing.T) (d Dashboard) {
	t.Helper()
	text, err := os.ReadFile(root + "examples/monitoring/dashboard.json")
	must(t, err)
	must(t, json.Unmarshal(text, &d))
	return d
}

// TestDashboard_Generated: make generate writes it.
func TestDashboard_Generated(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(committed(t))
	must(t, err)
	var d Dashboard
	made, err := json.Marshal(dashboard())
	must(t, err)
	must(t, json.Unmarshal(made, &d)) // numbers as a reader has them
	want, err := json.Marshal(d)
	must(t, err)
	if string(got) != string(want) {
		t.Error("examples/monitoring/dashboard.json is not what tools/monitoring makes: run make generate")
	}
}

func TestDashboard_Grid(t *testing.T) {
	t.Parallel()
	ids := map[int]string{}
	taken := map[[2]int]string{}
	for _, p := range committed(t).Panels {
		if other, ok := ids[p.ID]; ok || p.ID == 0 {
			t.Errorf("%s and %s have the id %d", other, p.Title, p.ID)
		}
		ids[p.ID] = p.Title
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X < 0 || g.X+g.W > columns {
			t.Errorf("%s is at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s is over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

var reference = regexp.MustCompile(`\$\{?([a-zA-Z_]+)`)

// TestDashboard_Queries: each panel asks the chosen data source for metrics that there are, gets an answer, and has a legend of labels that the
// answer has. Variables that are used are there.
func TestDashboard_Queries(t *testing.T) {
	t.Parallel()
	m, d := scraped(t), committed(t)
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	if first := d.Templating.List[0]; first.Name != "datasource" || first.Type != "datasource" || first.Query != "prometheus" {
		t.Errorf("the first variable is to choose the data source: %+v", first)
	}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$job", "routingmesh", "$service", ".*")
	for _, v := range d.Templating.List {
		if of, ok := strings.CutPrefix(v.Query, "label_values("); ok {
			checkNames(t, m, fill.Replace(of[:strings.LastIndex(of, ",")]))
		}
	}
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource["uid"] != "${datasource}" {
			t.Errorf("%s: %d queries, data source %v", p.Title, len(p.Targets), p.Datasource)
		}
		for _, target := range p.Targets {
			for _, name := range reference.FindAllStringSubmatch(target.Expr, -1) {
				if !variables[name[1]] {
					t.Errorf("%s: there is no variable %s", p.Title, name[1])
				}
			}
			expr := fill.Replace(target.Expr)
			checkNames(t, m, expr)
			answer := m.ask(t, expr, time.Hour)
			if len(answer) == 0 || target.Datasource["uid"] != "${datasource}" {
				t.Errorf("%s: no answer to %s of %v", p.Title, expr, target.Datasource)
				continue
			}
			for _, label := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if answer[0].Metric.Get(label[1]) == "" {
					t.Errorf("%s: the answer to %s has no label %s: %s", p.Title, expr, label[1], answer[0].Metric)
				}
			}
		}
	}
}

// TestDashboard_AllMetrics: nothing that the agent counts is nowhere to be seen, neither in a panel nor in an alert.
func TestDashboard_AllMetrics(t *testing.T) {
	t.Parallel()
	var seen strings.Builder
	for _, file := range []string{"dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile(root + "examples/monitoring/" + file)
		must(t, err)
		seen.Write(text)
	}
	for _, s := range scraped(t).series {
		name := s.Labels().Get("__name__")
		if strings.Contains(name, "_endpoint_in_") || strings.Contains(name, "_endpoint_out_") {
			continue // the ports' bytes and packets are shown: of endpoints they would be too many curves
		}
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(seen.String()) {
			t.Errorf("%s is in no panel and no alert", name)
		}
	}
}
