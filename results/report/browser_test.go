// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/results/report"
)

// chromium runs a headless Chromium that can reach nothing but this host, and returns what it printed.
func chromium(t *testing.T, args ...string) string {
	t.Helper()
	path := need.Tool(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
		"--user-data-dir=" + t.TempDir(), "--proxy-server=127.0.0.1:1", "--disable-background-networking"}, args...)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium %q: %v\n%s", args, err, errs.String())
	}
	return out.String()
}

// probe is a page that shows others in frames as wide as windows, and writes down what came of each: whether it is wider than
// that, which of its images are not there, what text is smaller than a reader of a phone can read, and how many tables are wider
// than the boxes that they scroll in.
const probe = `<!DOCTYPE html><html><body style="margin:0">FRAMES
<pre id="out"></pre><script>
window.onload = () => {
	const all = [...document.querySelectorAll("iframe")].map(f => {
		const d = f.contentDocument, w = d.documentElement;
		const small = [...d.querySelectorAll("p, td, th, dd, dt, summary, pre, h1, h2, a, span, figcaption")].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12);
		const over = e => e && e.parentElement.scrollWidth > e.parentElement.clientWidth;
		return {
			width: w.scrollWidth, title: d.title, over: over(d.querySelector(".matrix")),
			broken: [...d.images].filter(i => !i.complete || i.naturalWidth < 100).length, images: d.images.length,
			small: small.length, tables: d.querySelectorAll("table").length, rows: d.querySelectorAll(".matrix tbody tr").length,
		};
	});
	document.getElementById("out").textContent = JSON.stringify(all);
};
</script></body></html>`

type seen struct {
	Width, Broken, Images, Small, Tables, Rows int

	Over  bool // the matrix of verdicts is wider than its box, and has to be scrolled
	Title string
}

// look has the browser lay pages out in frames of that width, in pixels.
func look(t *testing.T, width int, pages ...string) []seen {
	t.Helper()
	var frames strings.Builder
	for _, page := range pages {
		fmt.Fprintf(&frames, "<iframe src=\"file://%s\" style=\"width:%dpx;height:3000px;border:0\"></iframe>\n", page, width)
	}
	file := filepath.Join(t.TempDir(), "probe.html")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(probe, "FRAMES", frames.String())), 0o644); err != nil {
		t.Fatal(err)
	}
	dom := chromium(t, "--allow-file-access-from-files", "--virtual-time-budget=10000", "--dump-dom", "file://"+file)
	m := regexp.MustCompile(`<pre id="out">(.*?)</pre>`).FindStringSubmatch(dom)
	var all []seen
	if m == nil || json.Unmarshal([]byte(strings.ReplaceAll(m[1], "&amp;", "&")), &all) != nil || len(all) != len(pages) {
		t.Fatalf("the browser does not show pages %q:\n%.2000s", pages, dom)
	}
	return all
}

// A real browser opens the page from its file, shows all of its plots and tables, and needs no more width than a phone has.
func TestBrowser(t *testing.T) {
	r := attributedRecord(t)
	dir, page := write(t, report.Options{Run: r})
	if !strings.Contains(page, "notify_task_watchers") {
		t.Error("the page does not tell where the cost is")
	}
	file := filepath.Join(dir, "index.html")
	for _, width := range []int{360, 1200} {
		s := look(t, width, file)[0]
		t.Logf("%d pixels: %+v", width, s)
		if s.Broken > 0 || s.Images != 4 || s.Tables < 5 || s.Rows != 4 || s.Small > 0 || !strings.Contains(s.Title, "task-watchers") {
			t.Errorf("in %d pixels the browser shows %+v", width, s)
		}
		if s.Width > width {
			t.Errorf("in %d pixels the page is %d wide", width, s.Width)
		}
	}
	for _, look := range []struct{ scheme, setting, size string }{
		{"light", "preferredColorScheme=1", "412,915"}, {"dark", "preferredColorScheme=0", "1280,1600"},
	} {
		shot := filepath.Join(dir, "shot-"+strings.ReplaceAll(look.size, ",", "x")+"-"+look.scheme+".png")
		if keep := os.Getenv("SERIES_SHOTS"); keep != "" { // for a person to look at
			shot = filepath.Join(keep, filepath.Base(shot))
		}
		chromium(t, "--blink-settings="+look.setting, "--window-size="+look.size, "--screenshot="+shot, "file://"+file)
		n, bright := colours(t, shot)
		if n < 50 {
			t.Errorf("the %s picture of %s has %d colours: nothing to look at", look.scheme, look.size, n)
		}
		if bright != (look.scheme == "light") {
			t.Errorf("the %s picture of %s is bright: %v", look.scheme, look.size, bright)
		}
	}
}

// The pages of the repository's recorded runs fit a phone: what is wide scrolls in a box of its own, and the verdicts of two
// architectures need no scrolling.
func TestBrowserRecorded(t *testing.T) {
	records, err := filepath.Glob("../*/v*.json")
	if err != nil || len(records) == 0 {
		t.Fatalf("no recorded runs: %v", err)
	}
	var pages []string
	for _, name := range records {
		dir, _ := write(t, report.Options{Run: load(t, name)})
		pages = append(pages, filepath.Join(dir, "index.html"))
	}
	for i, s := range look(t, 390, pages...) {
		r := load(t, records[i])
		configs := map[string]bool{}
		for _, c := range r.Cells {
			configs[c.Arch+c.Config] = true
		}
		if s.Width > 390 || s.Broken > 0 || s.Small > 0 || s.Rows == 0 || s.Over && len(configs) < 3 {
			t.Errorf("%s: in 390 pixels the browser shows %+v", records[i], s)
		}
	}
}

// The probe tells a page that is too wide, lacks an image or has tiny text: TestBrowser can fail.
func TestBrowserFinds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "index.html")
	page := `<html><title>bad</title><body><img src="gone.png" /><p style="font-size:6px">tiny</p><div style="width:900px">wide</div>
<div style="overflow:auto;width:100px"><table class="matrix" style="display:block;width:200px;height:9px"></table></div></body></html>`
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := look(t, 360, file)[0]; s.Broken != 1 || s.Width < 900 || s.Small != 1 || s.Rows != 0 || !s.Over {
		t.Errorf("of a bad page the browser shows %+v", s)
	}
}

// ownRequest are the hosts that a Chromium asks by itself, whatever it shows.
var ownRequest = regexp.MustCompile(`(^|\.)(google|googleapis|gstatic|gvt1|googleusercontent)\.com(:\d+)?$`)

// The browser asks nobody for anything when it opens the page; a page that would is found out.
func TestBrowserOffline(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !ownRequest.MatchString(req.Host) {
			t.Logf("%s %s", req.Method, req.Host)
			asked.Add(1)
		}
	}))
	defer server.Close()
	proxy := "--proxy-server=" + server.Listener.Addr().(*net.TCPAddr).String()
	open := func(file string) int32 {
		asked.Store(0)
		// The later of two options counts, and all that is not a file would go through the proxy.
		chromium(t, proxy, "--proxy-bypass-list=<-loopback>", "--virtual-time-budget=5000", "--dump-dom", "file://"+file)
		return asked.Load()
	}
	dir, page := write(t, report.Options{Run: attributedRecord(t)})
	if n := open(filepath.Join(dir, "index.html")); n != 0 {
		t.Errorf("the page asked %d times", n)
	}
	bad := filepath.Join(dir, "bad.html")
	loads := strings.NewReplacer(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'" />`, "",
		"</body>", `<img src="http://example.org/x.png" /></body>`).Replace(page)
	if err := os.WriteFile(bad, []byte(loads), 0o644); err != nil {
		t.Fatal(err)
	}
	if n := open(bad); n == 0 {
		t.Error("a page with a picture from elsewhere did not ask for it: this test cannot fail")
	}
}

// colours counts them in a picture, and tells whether it is bright where a page has its margin.
func colours(t *testing.T, file string) (n int, bright bool) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[3]uint32]bool{}
	for p := im.Bounds().Min; p.Y < im.Bounds().Max.Y; p.Y += 2 {
		for p.X = im.Bounds().Min.X; p.X < im.Bounds().Max.X; p.X += 2 {
			r, g, b, _ := im.At(p.X, p.Y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	r, _, _, _ := im.At(im.Bounds().Min.X+1, im.Bounds().Min.Y+1).RGBA()
	return len(seen), r > 0x8000
}

// attributedRecord is the record of watchers with its first patch's clone counted by function.
func attributedRecord(t *testing.T) *results.Run {
	t.Helper()
	r := load(t, "../testdata/watchers.json")
	before, after := results.FunctionCounts{}, results.FunctionCounts{}
	stock, first := r.CellAt("amd64", 0, "release").Metric("Clone", results.Instructions), r.CellAt("amd64", 1, "release").Metric("Clone", results.Instructions)
	for i := range stock.Values {
		before = append(before, map[string]float64{"copy_process": stock.Values[i]})
		after = append(after, map[string]float64{"copy_process": first.Values[i] - 96, "notify_task_watchers": 96})
	}
	var err error
	if first.Functions, err = results.FunctionsOf(before, after); err != nil {
		t.Fatal(err)
	}
	return r
}
