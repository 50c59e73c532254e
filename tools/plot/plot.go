package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/report"
)

const (
	panelWidth  = 16 * vg.Centimeter
	panelHeight = 9 * vg.Centimeter
)

// svg writes an SVG: the data path's ratios as bars, then for each part and unit what it takes over the number of
// ports or of nodes. What has no figures has no panel.
func svg(w io.Writer, figures []figure.Figure) error {
	var panels []*plot.Plot
	if p, err := ratios(figures); err != nil {
		return err
	} else if p != nil {
		panels = append(panels, p)
	}
	for _, part := range report.Parts(figures) {
		for _, axis := range []string{"ports", "nodes"} {
			p, err := growth(figures, part, axis)
			if err != nil {
				return err
			}
			if p != nil {
				panels = append(panels, p)
			}
		}
	}
	if len(panels) == 0 {
		return fmt.Errorf("nothing to plot: no ratio of the data path, and no figure at two sizes")
	}
	canvas := vgsvg.New(panelWidth, panelHeight*vg.Length(len(panels)))
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadX: vg.Points(8), PadY: vg.Points(12), PadTop: vg.Points(8), PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(8)}
	for i, p := range panels {
		p.Draw(tiles.At(draw.New(canvas), 0, i))
	}
	_, err := canvas.WriteTo(w)
	return err
}

// ratios are the data path's, a group of bars per name and a colour per way; nil if there are none.
func ratios(figures []figure.Figure) (*plot.Plot, error) {
	var names, ways []string
	values := map[[2]string]float64{}
	for _, f := range figures {
		if f.Part != "datapath" || f.Base == nil || f.Case["way"] == "" {
			continue
		}
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
		if !slices.Contains(ways, f.Case["way"]) {
			ways = append(ways, f.Case["way"])
		}
		values[[2]string{f.Name, f.Case["way"]}] = f.Compared
	}
	if len(values) == 0 {
		return nil, nil
	}
	p := plot.New()
	p.Title.Text = "Through the mesh, as a share of a client that goes to the endpoint itself"
	p.Y.Min, p.Legend.Top = 0, true
	p.Add(plotter.NewGrid())
	width := vg.Points(180 / float64(len(names)*len(ways)+1))
	for i, way := range ways {
		bar := make(plotter.Values, len(names))
		for n, name := range names {
			bar[n] = values[[2]string{name, way}]
		}
		bars, err := plotter.NewBarChart(bar, width)
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width = plotutil.Color(i), 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(ways)-1)/2)
		p.Add(bars)
		p.Legend.Add(way, bars)
	}
	p.NominalX(names...)
	return p, nil
}

// growth is a line per duration of the part that was taken at two sizes or more, in milliseconds; the axes are
// logarithmic. Nil if there is none.
func growth(figures []figure.Figure, part, axis string) (*plot.Plot, error) {
	lines, order := map[string]plotter.XYs{}, []string(nil)
	for _, f := range figures {
		size, err := strconv.ParseFloat(f.Case[axis], 64)
		if f.Part != part || err != nil || f.Compared <= 0 || f.Unit != "s" && f.Unit != "ms" {
			continue
		}
		y := f.Compared
		if f.Unit == "s" {
			y *= 1000
		}
		name := series(f, axis)
		if lines[name] == nil {
			order = append(order, name)
		}
		lines[name] = append(lines[name], plotter.XY{X: size, Y: y})
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: ms over %s", part, axis)
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	p.X.Label.Text, p.Legend.Top, p.Legend.Left = axis, true, true
	p.Add(plotter.NewGrid())
	drawn := 0
	for _, name := range order {
		if !sizes(lines[name]) {
			continue
		}
		line, points, err := plotter.NewLinePoints(lines[name])
		if err != nil {
			return nil, err
		}
		line.Color, points.Color, points.Shape = plotutil.Color(drawn), plotutil.Color(drawn), plotutil.Shape(drawn)
		p.Add(line, points)
		p.Legend.Add(name, line, points)
		drawn++
	}
	if drawn == 0 {
		return nil, nil
	}
	return p, nil
}

// series names a line: the figure, and its conditions but for the axis.
func series(f figure.Figure, axis string) string {
	rest := map[string]string{}
	for k, v := range f.Case {
		if k != axis {
			rest[k] = v
		}
	}
	return strings.TrimSuffix(f.Name+", "+report.Conditions(rest), ", ")
}

// sizes says that the points are of two sizes or more, one each.
func sizes(points plotter.XYs) bool {
	seen := map[float64]bool{}
	for _, p := range points {
		if seen[p.X] {
			return false
		}
		seen[p.X] = true
	}
	return len(seen) > 1
}
