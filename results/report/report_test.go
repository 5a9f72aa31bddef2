// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/results/report"
)

func load(t *testing.T, pattern string) *results.Run {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no record %s: %v", pattern, err)
	}
	r, err := results.Load(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t *testing.T, o report.Options) (dir, page string) {
	t.Helper()
	dir = t.TempDir()
	names, err := report.Write(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"index.html", "record.json", "tables.json", "tables.txt"} {
		if !slices.Contains(names, want) {
			t.Errorf("files are %q, without %s", names, want)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, string(b)
}

// elements walks a page as XML, which every tag has to be closed for, and tells what would be loaded from elsewhere.
func elements(page string) (names map[string]int, err error) {
	names = map[string]int{}
	dec := xml.NewDecoder(strings.NewReader(page))
	dec.Strict = true
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		names[e.Name.Local]++
		for _, a := range e.Attr {
			switch name := a.Name.Local; {
			case name == "src" || name == "srcset" || name == "href" || name == "action" || name == "data" || name == "poster":
				if !strings.HasPrefix(a.Value, "data:image/svg+xml;base64,") && !strings.HasPrefix(a.Value, "#") {
					return nil, fmt.Errorf("<%s %s=%.60q> is loaded from elsewhere", e.Name.Local, name, a.Value)
				}
			case strings.HasPrefix(name, "on"), name == "style" && strings.Contains(a.Value, "url("):
				return nil, fmt.Errorf("<%s %s=%q>", e.Name.Local, name, a.Value)
			}
		}
	}
}

func check(t *testing.T, page string) map[string]int {
	t.Helper()
	names, err := elements(page)
	if err != nil {
		t.Fatalf("the page: %v", err)
	}
	for _, bad := range []string{"script", "link", "iframe", "object", "embed", "svg", "form", "base"} {
		if names[bad] != 0 {
			t.Errorf("the page has %d <%s>", names[bad], bad)
		}
	}
	if style := page[strings.Index(page, "<style>"):strings.Index(page, "</style>")]; strings.Contains(style, "@import") || strings.Contains(style, "url(") {
		t.Error("the style loads something")
	}
	return names
}

func TestElementsRejects(t *testing.T) {
	for _, bad := range []string{
		`<html><img src="http://example.org/x.png" /></html>`, `<html><img src="//example.org/x" /></html>`, `<html><p></html>`,
		`<html><a href="javascript:x">x</a></html>`, `<html><p onclick="x">x</p></html>`, `<html><img src="plot.svg" /></html>`,
	} {
		if _, err := elements(bad); err == nil {
			t.Errorf("%s is taken for a page of its own", bad)
		}
	}
}

// The page of a record is whole, needs nothing beside it and has all that was measured.
func TestWrite(t *testing.T) {
	dir, page := write(t, report.Options{Run: load(t, "../testdata/watchers.json")})
	names := check(t, page)
	if names["picture"] != 4 || names["img"] != 4 {
		t.Errorf("%d plots, want one for each of 2 benchmarks and 2 architectures", names["picture"])
	}
	for _, want := range []string{"lockdep: use a task watcher", "smallest believable difference", "2006", "width=device-width", "shift=0", "not below the work folder", "&#43;112"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, name := range []string{"cost-clone-amd64-release", "cost-fork-ppc64-release"} {
		svg, err := os.ReadFile(filepath.Join(dir, name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(svg, new(struct{ XMLName xml.Name })); err != nil || !bytes.Contains(svg, []byte("2006")) {
			t.Errorf("%s.svg: %v", name, err)
		}
		b, err := os.ReadFile(filepath.Join(dir, name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		if im, err := png.Decode(bytes.NewReader(b)); err != nil || im.Bounds().Dx() < 800 {
			t.Errorf("%s.png: %v", name, err)
		}
	}
	if r, err := results.Load(filepath.Join(dir, "record.json")); err != nil || r.Series != "task-watchers" {
		t.Errorf("the record beside the page: %v", err)
	}
}

// The recorded runs of the repository make pages, too, and so does one in which nothing was done.
func TestWriteRecorded(t *testing.T) {
	r := load(t, "../kauditd-wakeup/*.json")
	_, page := write(t, report.Options{Run: r})
	if names := check(t, page); names["picture"] == 0 || names["details"] < 10 {
		t.Errorf("elements are %v", names)
	}
	r.Cells, r.Stages, r.Command = nil, nil, nil
	_, page = write(t, report.Options{Run: r})
	check(t, page)
	if !strings.Contains(page, "no kernel in this run") || !strings.Contains(page, "names no logs") {
		t.Error("the page of an empty run does not say so")
	}
}

// Whatever guests, patches and tools say stays text.
func TestWriteHostile(t *testing.T) {
	const evil = `</pre><script>alert(1)</script><img src="http://example.org/x"/>"'&<!-- ]]>`
	r := load(t, "../testdata/watchers.json")
	work := t.TempDir()
	r.Title, r.Patches[1].Subject, r.Host.CPU, r.Base.Spec = evil, evil, evil+"\x1b[31m\x00\u202e", evil
	r.Command = []string{"series", evil, "$(rm -rf /)", "it's"}
	name := strings.ReplaceAll(evil, " ", "_")
	for i := range r.Cells {
		c := &r.Cells[i]
		if i > 3 {
			c.Config = evil + fmt.Sprint(i)
		}
		for k := range c.Benchmarks {
			c.Benchmarks[k].Name = fmt.Sprint(k) + name
		}
		c.QEMU.Command[2] = evil
		if c.Patch > 0 {
			c.Delta = &results.Delta{Since: c.Patch - 1, Code: results.Size{Before: 1000, After: 1234},
				Symbols: []results.SymbolDelta{{Name: name, Kind: "func", Size: results.Size{Before: 10, After: 244}}}}
		}
		c.Build.Log, c.Tests = evil, &results.Tests{Verdict: results.Splat, Log: work + "/logs"}
	}
	console := evil + "\x1b]0;title\a\x00\xff\xfe\r\n" + strings.Repeat("a line of the console\n", 10000) + evil + "the end\n"
	if err := os.Mkdir(filepath.Join(work, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "logs", "console.log"), []byte(console), 0o644); err != nil {
		t.Fatal(err)
	}
	dir, page := write(t, report.Options{Run: r, Work: work})
	check(t, page)
	if !strings.Contains(page, `id="sizes"`) || !strings.Contains(page, "&#43;234") {
		t.Error("the page has no sizes")
	}
	if strings.ContainsAny(page, "\x00\x1b\a") {
		t.Error("control characters are in the page")
	}
	if !strings.Contains(page, "the end") || !regexp.MustCompile(`<b>[0-9]{6} bytes are left out here`).MatchString(page) {
		t.Error("a long log is not cut, or does not say so")
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !regexp.MustCompile(`^[a-z0-9.-]+$`).MatchString(f.Name()) {
			t.Errorf("a file is called %q", f.Name())
		}
		if strings.HasSuffix(f.Name(), ".svg") {
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if names, err := elements(string(b)); err != nil || names["script"] != 0 || names["img"] != 0 {
				t.Errorf("%s: %v, %v", f.Name(), names, err)
			}
		}
	}
}

// What is cut from a log is counted: shown and left out are the whole.
func TestLogCut(t *testing.T) {
	r := load(t, "../testdata/watchers.json")
	r.Cells = r.Cells[1:2] // stock, behind its control
	work := t.TempDir()
	r.Cells[0].Tests.Log, r.Cells[0].Build.Log = "$WORK/logs", "$WORK/build.log"
	if err := os.Mkdir(filepath.Join(work, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("0123456789abcde\n", 5000) // 80000 bytes
	for name, text := range map[string]string{"build.log": long, "logs/test.log": "ok\n", "logs/console.log": ""} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, page := write(t, report.Options{Run: r, Work: work})
	check(t, page)
	m := regexp.MustCompile(`<b>(\d+) bytes are left out here`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("nothing is left out of 80000 bytes")
	}
	var left int
	fmt.Sscan(m[1], &left)
	if shown := strings.Count(page, "0123456789abcde\n") * 16; shown+left != len(long) {
		t.Errorf("%d bytes are shown and %d left out, of %d", shown, left, len(long))
	}
	if !strings.Contains(page, "It is empty.") || strings.Contains(page, "not there any more") {
		t.Error("the small logs are not there")
	}
}

// A record of somebody else's shows no file of this host but what is below the work folder.
func TestLogsOutside(t *testing.T) {
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("a private key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(work, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(work, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{secret, "$WORK/../secret", work + "/../secret", "$WORK/link", "../secret", "$WORK/pipe", "$WORK//" + secret, "$WORK/."} {
		r := load(t, "../testdata/watchers.json")
		r.Cells = r.Cells[1:2]
		r.Cells[0].Build.Log = log
		_, page := write(t, report.Options{Run: r, Work: work})
		if strings.Contains(page, "private key") || !strings.Contains(page, "this log is") {
			t.Errorf("log %s was read", log)
		}
	}
}

// The page has the logs of a guest that benchmarks ran in, and says how many there were.
func TestWriteBenchmarkLogs(t *testing.T) {
	work := t.TempDir()
	guest := filepath.Join(work, "cache", "guestrun", "1", "logs")
	if err := os.MkdirAll(guest, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"console.log": "Run /series/agent as init", "test.log": "BenchmarkFork 200"} {
		if err := os.WriteFile(filepath.Join(guest, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := load(t, "../testdata/watchers.json")
	r.CellAt("ppc64", 1, "release").Guests = []string{"$WORK/cache/guestrun/1/logs", "$WORK/cache/guestrun/2/logs"}
	_, page := write(t, report.Options{Run: r, Work: work})
	check(t, page)
	for _, want := range []string{"ppc64/release patch 1: benchmarks, guest 1 of 2, console", "Run /series/agent as init", "BenchmarkFork 200"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

// Figures of which no difference can be told, and names without end, are shown as they are.
func TestWriteGarbage(t *testing.T) {
	r := load(t, "../testdata/watchers.json")
	for i := range r.Cells {
		for k := range r.Cells[i].Benchmarks {
			b := &r.Cells[i].Benchmarks[k]
			b.Name = strings.Repeat(b.Name, 200)
			b.Previous, b.Delta, b.DeltaErr, b.DeltaMethod = nil, nil, nil, ""
			for n := range b.Values {
				b.Values[n] = []float64{1.7e308, -1.7e308, 5e-324, 0}[(i+n)%4]
			}
		}
	}
	_, page := write(t, report.Options{Run: r})
	check(t, page)
}

func TestWriteFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Write(filepath.Join(file, "below"), report.Options{Run: load(t, "../testdata/watchers.json")}); err == nil {
		t.Error("a report was written below a file")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tables.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Write(dir, report.Options{Run: load(t, "../testdata/watchers.json")}); err == nil {
		t.Error("a report was written over a folder")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "[.i]*")); len(left) > 0 {
		t.Errorf("a report that could not be written has left %q", left)
	}
	r := load(t, "../testdata/watchers.json")
	r.CellAt("amd64", 2, "release").QEMU.Version = "9"
	if _, err := report.Write(t.TempDir(), report.Options{Run: r}); !errors.As(err, new(*results.MismatchError)) {
		t.Errorf("a record of two QEMU versions: %v, want a mismatch", err)
	}
}

// The release configurations stand side by side, before all others; a control is shown where it failed.
func TestMatrixOrder(t *testing.T) {
	r := load(t, "../testdata/watchers.json")
	r.CellAt("ppc64", 1, "release").Config = "debug"
	r.CellAt("ppc64", 0, "control").Proofs[0].Pass = false
	_, page := write(t, report.Options{Run: r})
	head := page[strings.Index(page, `<table class="matrix">`):]
	head = head[:strings.Index(head, "</thead>")]
	var at []int
	for _, h := range []string{">amd64<", ">ppc64<", ">ppc64 debug<", ">ppc64 control<"} {
		at = append(at, strings.Index(head, h))
	}
	if !slices.IsSorted(at) || at[0] < 0 || strings.Contains(head, "amd64 control") {
		t.Errorf("the heads of the matrix are in another order: %s", head)
	}
}

// Many plots are folded, but for those of the headline.
func TestWriteManyPlots(t *testing.T) {
	records, err := filepath.Glob("../audit-tracepoints-inside/v*.json")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(records, func(name string) bool { // of all of the series, the one of its headline
		r := load(t, name)
		return slices.ContainsFunc(r.Cells[0].Benchmarks, func(b results.Benchmark) bool { return b.Name == r.Headline.Benchmark })
	})
	if i < 0 {
		t.Fatalf("none of the records %q has the headline's benchmark", records)
	}
	r := load(t, records[i])
	_, page := write(t, report.Options{Run: r})
	names := check(t, page)
	costs := page[strings.Index(page, `id="costs"`):]
	costs = costs[:strings.Index(costs, "<h2")]
	open, folded, ok := strings.Cut(costs, "<details>")
	if !ok || strings.Count(open, "<picture") != 2 || strings.Count(folded, "<picture") != names["picture"]-2 || names["picture"] < 20 {
		t.Errorf("of %d plots %d are not folded, want those of the headline on two architectures", names["picture"], strings.Count(open, "<picture"))
	}
	if !strings.Contains(folded, "Openat, ppc64") {
		t.Error("the folded plots do not say of what they are")
	}
}

// What a benchmark counts beside its figure is in a folded table, and never the metric that is plotted, however much it changes.
func TestWriteCounts(t *testing.T) {
	r := load(t, "../testdata/watchers.json")
	for i := range r.Cells {
		c := &r.Cells[i]
		var counts []results.Benchmark
		for k := range c.Benchmarks {
			b := &c.Benchmarks[k]
			b.Unit = "mean-insns/op" // of which no cost is told
			b.Functions = nil
			count := *b
			count.Unit, count.Values = "kmem:kmalloc/op", slices.Repeat([]float64{float64(1 + 50*c.Patch)}, len(b.Values))
			counts = append(counts, count)
		}
		c.Benchmarks = append(counts, c.Benchmarks...)
		for k := range c.Benchmarks {
			b := &c.Benchmarks[k]
			b.Previous, b.Delta, b.DeltaErr, b.DeltaMethod = nil, nil, nil, ""
		}
	}
	dir, page := write(t, report.Options{Run: r})
	check(t, page)
	if !strings.Contains(page, "<details><summary>What else the kernel does for an operation</summary>") || !strings.Contains(page, "kmem:<wbr/>") && !strings.Contains(page, "kmem:kmalloc") {
		t.Error("the page has no table of counts")
	}
	plots, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(plots) == 0 {
		t.Fatalf("no plots: %v", err)
	}
	for _, file := range plots {
		b, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(b), "kmalloc") || !strings.Contains(string(b), "mean-insns/op") {
			t.Errorf("%s: %v, want the plot of a metric that is no count", file, err)
		}
	}
}
