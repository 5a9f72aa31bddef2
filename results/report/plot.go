// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/seriesrig/series/results"
)

// A figure is a plot of one benchmark on one architecture: a point for each patch.
type figure struct {
	Name     string // of its files, without their ending
	Title    string
	yLabel   string
	bench    string
	groupBy  string  // base name of the benchmark, architecture and configuration
	points   []point // ours
	old      []point // published ones
	floor    float64 // differences up to that mean nothing; 0 where it is not known
	isCost   bool    // of a change, around 0
	patches  []int   // all that the run has, measured or not
	headline bool    // what the series is about
	weight   float64 // of several metrics of a benchmark the one with the greatest is plotted
}

// A point is a figure with its interval.
type point struct {
	patch int
	y     float64
	minus float64 // from y down to the end of the interval
	plus  float64 // from y up
}

// figuresOf makes the plots of a record: what each patch costs where that was measured, or else each benchmark's first
// metric that is no time.
func figuresOf(r *results.Run) ([]figure, error) {
	costs, err := results.Costs(r, "")
	if err != nil {
		return nil, err
	}
	var figures []figure
	for _, c := range costs {
		title := fmt.Sprintf("%s, %s", c.Benchmark, c.Arch)
		if c.Config != release {
			title += ", " + c.Config
		}
		i := slices.IndexFunc(figures, func(f figure) bool { return f.Title == title })
		if i < 0 {
			i = len(figures)
			figures = append(figures, figure{Name: fileName("cost", c.Benchmark, c.Arch, c.Config), Title: title,
				yLabel: "cost in % of " + c.Unit, bench: c.Benchmark, headline: r.Headline.Is(c.Benchmark, c.Unit), isCost: true})
			figures[i].group(c.Arch, c.Config)
		}
		figures[i].add(c)
	}
	if len(figures) == 0 {
		figures = plainFigures(r)
	}
	for i := range figures {
		figures[i].points = slices.DeleteFunc(figures[i].points, func(p point) bool { return !p.finite() })
	}
	// A median alone shows nothing that the table does not.
	return slices.DeleteFunc(figures, func(f figure) bool { return len(f.points) == 0 || !f.isCost && len(f.patches) < 2 }), nil
}

// group says what the figure is one of many of.
func (f *figure) group(arch, config string) {
	base, _, _ := strings.Cut(f.bench, "/")
	f.groupBy = fmt.Sprintf("%s, %s", base, arch)
	if config != release {
		f.groupBy += ", " + config
	}
}

// finite tells what can be plotted: of figures near the largest there are, a difference is none any more.
func (p point) finite() bool {
	for _, v := range []float64{p.y, p.minus, p.plus} {
		if math.IsNaN(v) || math.Abs(v) > 1e100 {
			return false
		}
	}
	return true
}

func (f *figure) add(c results.Cost) {
	if c.Patch == 0 {
		return
	}
	f.patches = append(f.patches, c.Patch)
	if c.OldPatch > 0 {
		f.old = append(f.old, point{c.Patch, c.OldCost, c.OldErr, c.OldErr})
	}
	if c.Comparison == nil {
		return
	}
	change, _, ok := c.Comparison.Percent()
	if !ok {
		return
	}
	scale := 100 / math.Abs(c.Comparison.Base)
	f.points = append(f.points, point{c.Patch, change, scale * (c.Comparison.Delta - c.Comparison.Lo), scale * (c.Comparison.Hi - c.Comparison.Delta)})
	if c.Comparison.Floor != nil {
		f.floor = scale * c.Comparison.Floor.Smallest
	}
}

// plainFigures plot the medians of one metric of each benchmark on each architecture, with their intervals: the headline's, or
// else the one that changed most from the first kernel to the last.
func plainFigures(r *results.Run) []figure {
	var figures []figure
	best := map[string]int{} // of a base name on an architecture: its place in figures
	for i := range r.Cells {
		first := &r.Cells[i]
		if results.IsControl(first.Config) || i > 0 && r.Cells[i-1].Arch == first.Arch && r.Cells[i-1].Config == first.Config {
			continue
		}
		for _, b := range first.Benchmarks {
			f := plainFigure(r, first, b.Name, b.Unit)
			base, _, _ := strings.Cut(b.Name, "/")
			key := first.Arch + " " + first.Config + " " + base
			k, ok := best[key]
			switch {
			case strings.HasPrefix(b.Unit, "sec"), results.IsCount(b.Unit):
			case !ok:
				best[key] = len(figures)
				figures = append(figures, f)
			case f.weight > figures[k].weight:
				figures[k] = f
			}
		}
	}
	return figures
}

func plainFigure(r *results.Run, first *results.Cell, name, unit string) figure {
	f := figure{Name: fileName("median", name, first.Arch, first.Config), Title: fmt.Sprintf("%s, %s", name, first.Arch), yLabel: unit, bench: name}
	for i := range r.Cells {
		c := &r.Cells[i]
		if c.Arch != first.Arch || c.Config != first.Config {
			continue
		}
		f.patches = append(f.patches, c.Patch)
		b := c.Metric(name, unit)
		if b == nil {
			continue
		}
		if s, ok := results.Summarize(b.Values); ok {
			f.points = append(f.points, point{c.Patch, s.Median, s.Median - s.Lo, s.Hi - s.Median})
		}
	}
	if n := len(f.points); n > 0 {
		from, to := f.points[0].y, f.points[n-1].y
		if big := max(math.Abs(from), math.Abs(to)); big > 0 {
			f.weight = math.Abs(to-from) / big
		}
	}
	f.group(first.Arch, first.Config)
	if f.headline = r.Headline.Is(name, unit); f.headline {
		f.weight = math.Inf(1)
	}
	return f
}

// fileName joins what names a file, in small letters, digits and hyphens: a benchmark's name comes from a guest.
func fileName(parts ...string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, strings.Join(parts, "-"))
	return name[:min(len(name), 100)]
}

// A theme is what a plot is drawn with.
type theme struct {
	back, ink, grid, ours, old, floor color.Color
}

var (
	light = theme{color.White, color.Gray{0x22}, color.Gray{0xdd}, color.RGBA{0x1f, 0x5f, 0xa8, 0xff}, color.RGBA{0xc0, 0x6a, 0x10, 0xff}, color.RGBA{0xe4, 0xec, 0xf5, 0xff}}
	dark  = theme{color.RGBA{0x1b, 0x1e, 0x22, 0xff}, color.Gray{0xdd}, color.Gray{0x3a}, color.RGBA{0x7a, 0xb4, 0xf0, 0xff}, color.RGBA{0xf0, 0xa8, 0x58, 0xff}, color.RGBA{0x26, 0x30, 0x3c, 0xff}}
)

// bars is what the plotter wants of error bars.
type bars []point

func (b bars) Len() int                        { return len(b) }
func (b bars) XY(i int) (x, y float64)         { return float64(b[i].patch), b[i].y }
func (b bars) YError(i int) (float64, float64) { return b[i].minus, b[i].plus }

// shifted puts points beside those of another list.
type shifted struct {
	bars
	by float64
}

func (s shifted) XY(i int) (x, y float64) {
	x, y = s.bars.XY(i)
	return x + s.by, y
}

// plot draws the figure.
func (f *figure) plot(th theme) (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = th.back
	p.Title.Text = f.Title
	p.X.Label.Text, p.Y.Label.Text = "patch", f.yLabel
	sans := font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, 10)
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font, s.Color = sans, th.ink
	}
	p.Title.TextStyle.Font.Size = 11
	p.Title.Padding = 6
	p.X.LineStyle.Color, p.Y.LineStyle.Color = th.ink, th.ink
	p.X.Tick.LineStyle.Color, p.Y.Tick.LineStyle.Color = th.ink, th.ink
	p.X.Tick.Marker, p.Y.Tick.Marker = f.ticks(), roundTicks{}
	lo, hi := float64(slices.Min(f.patches))-0.5, float64(slices.Max(f.patches))+0.5
	if f.floor > 0 {
		band, err := plotter.NewPolygon(plotter.XYs{{X: lo, Y: -f.floor}, {X: hi, Y: -f.floor}, {X: hi, Y: f.floor}, {X: lo, Y: f.floor}})
		if err != nil {
			return nil, err
		}
		band.Color, band.LineStyle.Width = th.floor, 0
		p.Add(band)
		p.Legend.Add("below the control", band)
	}
	legend := f.floor > 0 || len(f.old) > 0
	grid := plotter.NewGrid()
	grid.Vertical.Width, grid.Horizontal.Color = 0, th.grid
	p.Add(grid)
	if f.isCost {
		zero, err := plotter.NewLine(plotter.XYs{{X: lo, Y: 0}, {X: hi, Y: 0}})
		if err != nil {
			return nil, err
		}
		zero.Color = th.ink
		p.Add(zero)
	}
	by := 0.0
	if len(f.old) > 0 {
		by = 0.12
		if err := addPoints(p, shifted{f.old, by}, "2006", th.old, draw.BoxGlyph{}); err != nil {
			return nil, err
		}
	}
	label := "this run"
	if !legend {
		label = ""
	}
	if err := addPoints(p, shifted{f.points, -by}, label, th.ours, draw.CircleGlyph{}); err != nil {
		return nil, err
	}
	// On the left a text that a reader's font makes longer runs into nothing.
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, 2
	p.X.Min, p.X.Max = lo, hi
	// Room above for the legend, and a range where all figures are one.
	span := p.Y.Max - p.Y.Min
	if span == 0 {
		span = max(math.Abs(p.Y.Max), 1)
		p.Y.Min -= span / 4
		p.Y.Max += span / 8
	}
	p.Y.Max += span / 10
	if legend {
		p.Y.Max += span / 4
	}
	if !f.isCost && !slices.ContainsFunc(f.points, func(pt point) bool { return pt.y-pt.minus < 0 }) {
		p.Y.Min = 0 // a change looks as large as it is
	}
	return p, nil
}

// ticks has a name for each patch, but of many not for all.
func (f *figure) ticks() plot.ConstantTicks {
	var ticks []plot.Tick
	every := (len(f.patches) + 19) / 20
	for i, n := range f.patches {
		tick := plot.Tick{Value: float64(n)}
		if i%every == 0 {
			tick.Label = strconv.Itoa(n)
			if n == 0 {
				tick.Label = "stock"
			}
		}
		ticks = append(ticks, tick)
	}
	return ticks
}

// roundTicks are three to six marks at multiples of 1, 2 or 5 times a power of ten, so that 0 is one of them where it is in the
// range: gonum's begin at the range's end.
type roundTicks struct{}

func (roundTicks) Ticks(lo, hi float64) []plot.Tick {
	span := hi - lo
	if !(span > 0) || math.IsInf(span, 0) {
		return plot.DefaultTicks{}.Ticks(lo, hi)
	}
	step := math.Pow(10, math.Floor(math.Log10(span/3)))
	for _, times := range []float64{5, 2} {
		if span/(step*times) >= 2.5 {
			step *= times
			break
		}
	}
	digits := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	var ticks []plot.Tick
	for n := math.Ceil(lo / step); n*step <= hi && len(ticks) < 20; n++ {
		y := n * step
		label := strconv.FormatFloat(y, 'f', digits, 64)
		if digits > 6 || math.Abs(y) >= 1e7 {
			label = strconv.FormatFloat(y, 'g', 3, 64)
		}
		if n == 0 {
			label = "0"
		}
		ticks = append(ticks, plot.Tick{Value: y, Label: label})
	}
	return ticks
}

func addPoints(p *plot.Plot, pts shifted, name string, c color.Color, shape draw.GlyphDrawer) error {
	errorBars, err := plotter.NewYErrorBars(pts)
	if err != nil {
		return err
	}
	errorBars.Color, errorBars.Width, errorBars.CapWidth = c, 1.2, 6
	dots, err := plotter.NewScatter(pts)
	if err != nil {
		return err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: 3, Shape: shape}
	p.Add(errorBars, dots)
	if name != "" {
		p.Legend.Add(name, dots)
	}
	return nil
}

// The size of a plot, in points: the text is of a size to be read on a phone, too.
const plotWidth, plotHeight = 4.6 * vg.Inch, 2.7 * vg.Inch

// svg renders the figure.
func (f *figure) svg(th theme) ([]byte, error) {
	p, err := f.plot(th)
	if err != nil {
		return nil, fmt.Errorf("plot %s: %w", f.Name, err)
	}
	c := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("plot %s: %w", f.Name, err)
	}
	// Who has not this font gets one like it.
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,sans-serif;")), nil
}

// png renders the figure for mail and papers, at 200 dots an inch.
func (f *figure) png(th theme) ([]byte, error) {
	p, err := f.plot(th)
	if err != nil {
		return nil, fmt.Errorf("plot %s: %w", f.Name, err)
	}
	c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(200), vgimg.UseBackgroundColor(th.back))}
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("plot %s: %w", f.Name, err)
	}
	return b.Bytes(), nil
}
