package main

import (
	"log/slog"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
)

func rules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(root+"examples/monitoring/alerts.yml", false, model.UTF8Validation, language, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Fatal(err)
	}
	all := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if all[r.Alert].Expr != "" {
				t.Errorf("there are two alerts %s", r.Alert)
			}
			all[r.Alert] = r
		}
	}
	return all
}

// TestAlerts_Say: each says what it is, what to do and where the guide says more, of metrics that there are.
func TestAlerts_Say(t *testing.T) {
	t.Parallel()
	m := scraped(t)
	for name, r := range rules(t) {
		checkNames(t, m, r.Expr)
		for _, annotation := range []string{"summary", "description", "action", "runbook_url"} {
			if len(r.Annotations[annotation]) < 20 {
				t.Errorf("%s: %s is %q", name, annotation, r.Annotations[annotation])
			}
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.For == 0 {
			t.Errorf("%s: severity %q, for %s", name, r.Labels["severity"], r.For)
		}
		checkGuide(t, name, r.Annotations["runbook_url"])
	}
}

// checkGuide finds the heading in the page of docs/ that the registry shows.
func checkGuide(t *testing.T, name, link string) {
	t.Helper()
	page, ok := strings.CutPrefix(link, "https://registry.terraform.io/providers/routingmesh/routingmesh/latest/docs/")
	page, heading, _ := strings.Cut(page, "#")
	text, err := os.ReadFile(root + "docs/" + page + ".md")
	if !ok || err != nil {
		t.Errorf("%s: %s is no page of docs (%v)", name, link, err)
		return
	}
	for line := range strings.Lines(string(text)) {
		if slug(strings.TrimLeft(strings.TrimSpace(line), "# ")) == heading && strings.HasPrefix(line, "#") {
			return
		}
	}
	if heading != "" {
		t.Errorf("%s: %s has no such heading", name, link)
	}
}

func slug(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// TestAlerts_AllWarnings: each code of a warning has an alert.
func TestAlerts_AllWarnings(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, r := range rules(t) {
		all.WriteString(r.Expr)
	}
	for _, s := range scraped(t).series {
		if code := s.Labels().Get("code"); code != "" && !strings.Contains(all.String(), `code="`+code+`"`) {
			t.Errorf("no alert asks for warnings with the code %s", code)
		}
	}
}

const (
	n1 = `{job="routingmesh", instance="n1:9096"}`
	n2 = `{job="routingmesh", instance="n2:9096"}`
)

// cases has series, a value a minute, that an alert fires of, and when, and such that it does not. A part of the summary says what of.
var cases = map[string]struct {
	fires   []string
	at      time.Duration
	summary string
	quiet   []string
}{
	"RoutingMeshNodeDown": {
		[]string{`up` + n1 + ` 1 0x60`, `up` + n2 + ` 1x60`}, 4 * time.Minute, "n1:9096 does not answer",
		[]string{`up` + n1 + ` 1 0 1x60`, `up{job="other", instance="n1:9100"} 0x60`},
	},
	"RoutingMeshPathFails": {
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="path"} 2x60`}, 3 * time.Minute, "do not answer on n1:9096",
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="path"} 0 1 0x60`},
	},
	"RoutingMeshOverlayFails": {
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="overlay"} 1x60`}, 3 * time.Minute, "n1:9096 does not reach",
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="path"} 1x60`},
	},
	"RoutingMeshFirewallDrops": {
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="firewall"} 1x60`}, 3 * time.Minute, "A firewall on n1:9096",
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="firewall"} 0x60`},
	},
	"RoutingMeshHostSettings": {
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="host"} 1x60`}, 3 * time.Minute, "the host n1:9096",
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="host"} 0x60`},
	},
	"RoutingMeshContainersMissing": {
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="containers"} 1x60`}, 6 * time.Minute, "Endpoints on n1:9096",
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="containers"} 0 1x3 0x60`}, // a restart
	},
	"RoutingMeshNamesNotFound": {
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="names"} 1x60`}, 6 * time.Minute, "networks on n1:9096",
		[]string{`routingmesh_warnings{job="routingmesh", instance="n1:9096", code="names"} 0 1x3 0x60`}, // a restart
	},
	"RoutingMeshNotApplied": {
		[]string{`routingmesh_record_generation` + n1 + ` 7x60`, `routingmesh_applied_generation` + n1 + ` 6x60`}, 6 * time.Minute, "kernel of n1:9096",
		[]string{`routingmesh_record_generation` + n1 + ` 7 8x60`, `routingmesh_applied_generation` + n1 + ` 7 7 8x60`},
	},
	"RoutingMeshNodeBehind": {
		[]string{`routingmesh_record_generation` + n1 + ` 7x60`, `routingmesh_record_generation` + n2 + ` 7 8x60`}, 12 * time.Minute, "n1:9096 has an older record",
		[]string{`routingmesh_record_generation` + n1 + ` 7 7 8x60`, `routingmesh_record_generation` + n2 + ` 7 8x60`, `routingmesh_record_generation{job="routingmesh-two", instance="n3:9096"} 900x60`},
	},
	"RoutingMeshProblems": {
		[]string{`routingmesh_problems` + n1 + ` 3x60`}, 6 * time.Minute, "n1:9096 lacks 3 objects",
		[]string{`routingmesh_problems` + n1 + ` 3 0 3 0x60`},
	},
	"RoutingMeshRepairsGoOn": {
		[]string{`routingmesh_repairs_total` + n1 + ` 0+1x60`}, 50 * time.Minute, "Something on n1:9096",
		[]string{`routingmesh_repairs_total` + n1 + ` 0x10 40x60`}, // somebody flushed the rules once
	},
	"RoutingMeshEndpointUnhealthy": {
		[]string{healthy(n1, "a", "0"), healthy(n2, "a", "0"), healthy(n1, "b", "1")}, 3 * time.Minute, "Endpoint a of service web fails the health checks of 2 nodes",
		[]string{healthy(n1, "a", "1 0 1"), healthy(n1, "b", "1")},
	},
	"RoutingMeshServiceDown": {
		[]string{healthy(n1, "a", "0"), healthy(n1, "b", "0")}, 2 * time.Minute, "No endpoint of service web",
		[]string{healthy(n1, "a", "0"), healthy(n1, "b", "1")},
	},
	"RoutingMeshPortWithoutEndpoint": {
		[]string{port(n1), port(n2), weight(n1, "0")}, 6 * time.Minute, "Published port 8080/tcp leads nowhere",
		[]string{port(n1), port(n2), weight(n1, "0"), weight(n2, "1")},
	},
	"RoutingMeshVersionsDiffer": {
		[]string{version(n1, "0.1.0"), version(n2, "0.2.0")}, 70 * time.Minute, "agents of 2 versions",
		[]string{version(n1, "0.2.0"), version(n2, "0.2.0")},
	},
}

// with adds labels to those of a node.
func with(name, node, more, values string) string {
	return name + strings.TrimSuffix(node, "}") + ", " + more + "} " + values + "x120"
}

func healthy(node, endpoint, values string) string {
	return with("routingmesh_endpoint_healthy", node, `service="web", endpoint="`+endpoint+`", address="10.255.0.2:80"`, values)
}

func port(node string) string {
	return with("routingmesh_port_connections_total", node, `service="web", port="8080/tcp"`, "5")
}

func weight(node, value string) string {
	return with("routingmesh_endpoint_weight", node, `service="web", port="8080/tcp", endpoint="a", address="10.255.0.2:80"`, value)
}

func version(node, version string) string {
	return with("routingmesh_agent_info", node, `cluster="demo", node="n1", version="`+version+`"`, "1")
}

// TestAlerts_Fire: each fires when it should, with a summary in which no label is missing, and not when it should not.
func TestAlerts_Fire(t *testing.T) {
	t.Parallel()
	all := rules(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c := all[name], cases[name]
			firing := fires(t, r, c.fires, c.at)
			if len(firing) != 1 {
				t.Fatalf("%d alerts fire of %v, want 1", len(firing), c.fires)
			}
			for annotation, text := range r.Annotations {
				got := expanded(t, text, firing[0])
				if strings.Contains(got, "  ") || strings.Contains(got, "<no value>") || strings.Contains(got, "{{") || annotation == "summary" && !strings.Contains(got, c.summary) {
					t.Errorf("%s: %q", annotation, got)
				}
			}
			for at := range 110 {
				if f := fires(t, r, c.quiet, time.Duration(at)*time.Minute); len(f) > 0 {
					t.Fatalf("%v fires at minute %d of %v", f, at, c.quiet)
				}
			}
		})
	}
	for name := range cases {
		if _, ok := all[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// fires is what a rule has found at a time and at each minute of its "for" before. A test of it without "for" is not needed: all have one.
func fires(t *testing.T, r rulefmt.Rule, series []string, at time.Duration) (all promql.Vector) {
	t.Helper()
	m := &memory{}
	for _, s := range series {
		m.add(t, s)
	}
	for back := time.Duration(r.For); back >= 0; back -= time.Minute {
		found := m.ask(t, r.Expr, at-back)
		if back == time.Duration(r.For) {
			all = found
			continue
		}
		all = slices.DeleteFunc(all, func(s promql.Sample) bool {
			return !slices.ContainsFunc(found, func(now promql.Sample) bool { return labels.Equal(now.Metric, s.Metric) })
		})
	}
	return all
}

// expanded is a text as Prometheus makes it of an alert.
func expanded(t *testing.T, text string, of promql.Sample) string {
	t.Helper()
	for _, label := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
		if of.Metric.Get(label[1]) == "" {
			t.Errorf("%q: the alert has no label %s", text, label[1])
		}
	}
	data := template.AlertTemplateData(of.Metric.Map(), nil, "", of)
	e := template.NewTemplateExpander(t.Context(), `{{$labels := .Labels}}{{$value := .Value}}`+text, "alert", data, 0, nil, &url.URL{}, nil)
	got, err := e.Expand()
	must(t, err)
	return got
}
