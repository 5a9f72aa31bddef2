// SPDX-License-Identifier: Apache-2.0

// Package report writes a record as a page that people can look at: one HTML file that needs nothing beside it, no network and
// no script, with the plots as SVG and PNG files for mail and papers beside it.
//
// All that the page shows of guests, patches and tools is hostile until escaped, which html/template does.
package report

import (
	"bytes"
	"cmp"
	_ "embed" // page.html
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/results"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// Options say what a report is made of.
type Options struct {
	Run *results.Run
	// Work is the work folder, which published records call $WORK. Logs are read from below it only, since a record may
	// be somebody else's and name any file of this host; "" means that none are.
	Work string
}

// Write makes dir, and in it index.html, the plots, the tables as text and as JSON, the figures in Go's benchmark format and
// the record itself. It returns the names of the files that it wrote, in dir.
func Write(dir string, o Options) ([]string, error) {
	figures, err := figuresOf(o.Run)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	files := map[string][]byte{}
	data, err := o.data(figures, files)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	// What the template escapes is markup; control characters are no page's business wherever they come from.
	files["index.html"] = []byte(printable(b.String()))
	if err := writeFiles(dir, files); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return slices.Sorted(maps.Keys(files)), nil
}

// writeFiles writes all of the files under other names before the first gets its own, and the page gets it last: where a disk is
// full there is no page, or the whole of the one from before.
func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, ".report-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(tmp, name), files[name], 0o666); err != nil {
			return err
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(last(a), last(b)) })
	for _, name := range names {
		if err := os.Rename(filepath.Join(tmp, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func last(name string) int {
	if name == "index.html" {
		return 1
	}
	return 0
}

// pageData is what the page shows.
type pageData struct {
	Run    *results.Run
	Title  string
	Took   string
	Matrix matrix
	Plots  []plotData

	PlotGroups []plotGroup // the same, as the page shows them

	AreCosts bool        // the plots are of changes, not of medians
	Costs    []tableData // what patches cost
	Sizes    []tableData // what patches did to the build
	Others   []tableData // all other figures, folded
	Stages   *tableData
	Logs     []logGroup
	Commands []commandData
	Kernels  []kernelData
	Files    []string
}

type plotData struct {
	Name, Title string
	Light       template.URL    // a data: URL of what we drew ourselves
	Dark        template.Srcset // likewise
	group       string          // benchmark and architecture
	headline    bool            // the figure that the series is about
}

// A plotGroup is plots of one benchmark and architecture; the one without a title is not folded.
type plotGroup struct {
	Title string
	Plots []plotData
}

// fewPlots are so many that all are shown.
const fewPlots = 12

// groupPlots folds many plots, but for those of the series' headline.
func groupPlots(plots []plotData) []plotGroup {
	if len(plots) <= fewPlots {
		return []plotGroup{{"", plots}}
	}
	groups := []plotGroup{{}}
	for _, p := range plots {
		title := p.group
		if p.headline {
			title = ""
		}
		i := slices.IndexFunc(groups, func(g plotGroup) bool { return g.Title == title })
		if i < 0 {
			i = len(groups)
			groups = append(groups, plotGroup{Title: title})
		}
		groups[i].Plots = append(groups[i].Plots, p)
	}
	return groups
}

type commandData struct{ What, Text string }

// data gathers all that the page shows, and puts the files beside it into files.
func (o Options) data(figures []figure, files map[string][]byte) (*pageData, error) {
	r := o.Run
	d := &pageData{Run: r, Title: r.Title, Took: results.FormatSeconds(r.Duration().Seconds()), Matrix: matrixOf(r), Logs: grouped(o.logs())}
	if d.Title == "" {
		d.Title = r.Series
	}
	taken := map[string]bool{}
	for i := range figures {
		f := &figures[i]
		for base, n := f.Name, 2; taken[f.Name]; n++ {
			f.Name = fmt.Sprintf("%s-%d", base, n)
		}
		taken[f.Name] = true
		p, err := f.draw(files)
		if err != nil {
			return nil, err
		}
		p.group, p.headline = f.groupBy, f.headline
		d.Plots = append(d.Plots, p)
		d.AreCosts = f.isCost
	}
	d.PlotGroups = groupPlots(d.Plots)
	if err := d.tables(r, files); err != nil {
		return nil, err
	}
	record, err := results.Encode(r)
	if err != nil {
		return nil, err
	}
	files["record.json"] = record
	var txt bytes.Buffer
	if err := results.WriteBenchmarks(&txt, r); err != nil {
		return nil, err
	}
	if txt.Len() > 0 {
		files["benchmarks.txt"] = txt.Bytes()
	}
	for name := range files {
		d.Files = append(d.Files, name)
	}
	slices.Sort(d.Files)
	d.Commands, d.Kernels = commandsOf(r), kernelsOf(r)
	return d, nil
}

func (f *figure) draw(files map[string][]byte) (plotData, error) {
	bright, err := f.svg(light)
	if err != nil {
		return plotData{}, err
	}
	dim, err := f.svg(dark)
	if err != nil {
		return plotData{}, err
	}
	raster, err := f.png(light)
	if err != nil {
		return plotData{}, err
	}
	files[f.Name+".svg"], files[f.Name+".png"] = bright, raster
	url := func(svg []byte) string { return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg) }
	return plotData{Name: f.Name, Title: f.Title, Light: template.URL(url(bright)), Dark: template.Srcset(url(dim))}, nil
}

// A tableData is a table with what the page needs of it.
type tableData struct {
	*results.Table
	Open bool // of the figures that are not costs: one that the series is about
}

// IsLabel tells the column that says what a row is.
func (t tableData) IsLabel(i int) bool { return t.Columns[i].Label }

// Right tells the columns of figures.
func (t tableData) Right(i int) bool { return t.Columns[i].Right }

// Cell is a cell's text: what is missing is shown as missing, never as nothing.
func (t tableData) Cell(i int, text string) string {
	if text == "" && !t.Columns[i].Blank {
		return results.Missing
	}
	return text
}

// Label is the text of a cell that says what a row is; where it is narrow, the name of a sub-benchmark may go on in another line
// after each slash.
func (t tableData) Label(i int, text string) template.HTML {
	return template.HTML(strings.ReplaceAll(template.HTMLEscapeString(t.Cell(i, text)), "/", "/<wbr/>"))
}

// HeadOf is a column's heading.
func (t tableData) HeadOf(i int) string {
	c := t.Columns[i]
	return strings.TrimSpace(c.Head + " " + c.Unit)
}

// isAbout tells whether a table is a benchmark's.
func isAbout(benchmark, table string) bool {
	base, _, _ := strings.Cut(benchmark, "/")
	return strings.EqualFold(base, table)
}

// tables makes all tables that the record has figures for.
func (d *pageData) tables(r *results.Run, files map[string][]byte) error {
	var text bytes.Buffer
	list := []*results.Table{}
	for _, name := range results.TableNames(r) {
		t, err := results.TableFor(name, r)
		if errors.Is(err, results.ErrNotMeasured) {
			continue
		}
		if err != nil {
			return err
		}
		list = append(list, t)
		lines, err := t.Text(0)
		var wide *results.WidthError
		if errors.As(err, &wide) {
			lines, err = t.Text(max(wide.Width, 2*results.Width)) // of a name that fits in no mail's line
		}
		if errors.As(err, &wide) {
			lines, err = "(a name is too long for a table)\n", nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "== %s ==\n%s\n", name, lines)
		td := tableData{Table: t}
		switch {
		case name == "verdicts": // the matrix shows it
		case name == "stages":
			d.Stages = &td
		case name == "cost", name == "functions" && d.AreCosts:
			d.Costs = append(d.Costs, td)
		case name == "size", name == "symbols":
			d.Sizes = append(d.Sizes, td)
		default:
			if td.Title == "" || slices.ContainsFunc(d.Others, func(o tableData) bool { return o.Title == td.Title }) {
				named := *t
				named.Title = strings.TrimPrefix(t.Title+": "+name, ": ")
				td.Table = &named
			}
			td.Open = name == "predictions" || name == "interfaces" || !d.AreCosts && r.Headline != nil && isAbout(r.Headline.Benchmark, name)
			d.Others = append(d.Others, td)
		}
	}
	js, err := marshalTables(list)
	if err != nil {
		return err
	}
	files["tables.txt"], files["tables.json"] = text.Bytes(), js
	return nil
}
