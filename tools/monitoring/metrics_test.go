package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

const root = "../../"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// language reads expressions as Prometheus does.
var language = parser.NewParser(parser.Options{})

var engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 20, Timeout: time.Minute, Parser: language})

// scraped is what Prometheus has of a page with all of the agent's metrics.
func scraped(t *testing.T) *memory {
	t.Helper()
	page, err := os.ReadFile(root + "agent/internal/web/testdata/metrics.golden")
	must(t, err)
	m := &memory{}
	m.add(t, `up{job="routingmesh", instance="n1:9096"} 1x120`)
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, rest, _ := strings.Cut(name, "{")
		m.add(t, name+`{job="routingmesh",instance="n1:9096",`+strings.TrimSuffix(rest, "}")+"} "+value+"x120")
	}
	return m
}

// memory holds samples: one a minute for each series, from second 0.
type memory struct{ series []storage.Series }

// add takes a series in promtool's notation: up{job="a"} 1 1 0x5.
func (m *memory) add(t *testing.T, text string) {
	t.Helper()
	lset, values, err := language.ParseSeriesDesc(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var samples []chunks.Sample
	for i, v := range values {
		if !v.Omitted {
			samples = append(samples, sample{int64(i) * 60_000, v.Value})
		}
	}
	m.series = append(m.series, storage.NewListSeries(lset, samples))
}

// labels are those of a metric, nil where there is no such metric.
func (m *memory) labels(name string) []string {
	for _, s := range m.series {
		if s.Labels().Get(labels.MetricName) == name {
			var names []string
			s.Labels().Range(func(l labels.Label) { names = append(names, l.Name) })
			return names
		}
	}
	return nil
}

func (m *memory) Querier(int64, int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		found := &set{}
		for _, s := range m.series {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
				found.series = append(found.series, s)
			}
		}
		slices.SortFunc(found.series, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
		return found
	}}, nil
}

// ask evaluates an expression at a time.
func (m *memory) ask(t *testing.T, expr string, at time.Duration) promql.Vector {
	t.Helper()
	q, err := engine.NewInstantQuery(t.Context(), m, nil, expr, time.Unix(0, 0).Add(at))
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	result := q.Exec(context.Background())
	v, err := result.Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return slices.Clone(v)
}

type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool         { s.at++; return s.at <= len(s.series) }
func (s *set) At() storage.Series { return s.series[s.at-1] }
func (s *set) Err() error         { return nil }

func (s *set) Warnings() annotations.Annotations { return nil }

type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// checkNames finds metrics and labels that the agent does not have.
func checkNames(t *testing.T, m *memory, expr string) {
	t.Helper()
	parsed, err := language.ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", expr, err)
		return
	}
	var has []string
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			names := m.labels(s.Name)
			if names == nil {
				t.Errorf("%s: no agent has the metric %s", expr, s.Name)
			}
			for _, match := range s.LabelMatchers {
				if !slices.Contains(names, match.Name) {
					t.Errorf("%s: %s has no label %s", expr, s.Name, match.Name)
				}
			}
			has = append(has, names...)
		}
		return nil
	})
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		var wanted []string
		switch n := node.(type) {
		case *parser.AggregateExpr:
			wanted = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				wanted = append(slices.Clone(n.VectorMatching.MatchingLabels), n.VectorMatching.Include...)
			}
		}
		for _, name := range wanted {
			if !slices.Contains(has, name) {
				t.Errorf("%s: no metric in it has the label %s", expr, name)
			}
		}
		return nil
	})
}
