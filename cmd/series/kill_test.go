// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/results"
)

// killConfig is what the series of the house gets for this: tests, one of which is mended by the second patch, and a second
// configuration, which makes six cells.
const killConfig = `# SPDX-License-Identifier: Apache-2.0
id = "demo"
title = "audit: spell out figures"
revision = 1
prefix = "PATCH"
base = "dir:linux"
arches = ["amd64"]
tests = ["./tests"]
[mail]
to = ["list@example.org"]
[[expect]]
test = "TestThirty"
mended = 2
why = "thirty is a figure there"
[[variant]]
name = "debug"
why = "more checks"
config = ["debug"]
test = true
[[changes]]
revision = 1
series = ["first posting"]
`

// A standInHouse is a folder with a series in it, and all that is needed to run it.
type standInHouse struct {
	t        *testing.T
	dir      string
	path     string
	patience time.Duration // with processes that end; 0: 5 s
}

func newStandInHouse(t *testing.T, series string) *standInHouse {
	t.Helper()
	dir, err := os.MkdirTemp(memory(t), "series-kill-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &standInHouse{t: t, dir: dir}
	if err := os.CopyFS(dir, os.DirFS("testdata/house")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"patches/demo/series.toml": series, "configs/debug.config": "CONFIG_DEBUG=y\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "bin", "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	if h.path, err = standIn(dir); err != nil {
		t.Fatal(err)
	}
	return h
}

// command is series in the house.
func (h *standInHouse) command(args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	c := exec.Command(filepath.Join(h.path, "series"), args...)
	c.Dir = h.dir
	c.Env = []string{"HOME=" + h.dir, "PATH=" + h.path, "XDG_CACHE_HOME=" + filepath.Join(h.dir, ".cache"), "GIT_CONFIG_NOSYSTEM=1", "GORACE=" + noSleep}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c, &stdout, &stderr
}

// run runs series to its end, and returns its exit status.
func (h *standInHouse) run(args ...string) (stdout, stderr string, status int) {
	h.t.Helper()
	c, out, err := h.command(args...)
	if e := c.Run(); e != nil && c.ProcessState == nil {
		h.t.Fatal(e)
	}
	return out.String(), err.String(), c.ProcessState.ExitCode()
}

var runArgs = []string{"run", "demo", "--config", "all", "--fresh", "--json"}

// work is the work folder.
func (h *standInHouse) work() string { return filepath.Join(h.dir, ".cache", "series") }

// lines counts what the stand-ins have come to the end of.
func (h *standInHouse) lines(name string) map[string]int {
	b, _ := os.ReadFile(filepath.Join(h.dir, name))
	n := map[string]int{}
	for line := range strings.Lines(string(b)) {
		n[line]++
	}
	return n
}

func total(n map[string]int) (sum int) {
	for _, k := range n {
		sum += k
	}
	return sum
}

// figures of a record are those that another run has, too: all but times, and whether something was known.
func (h *standInHouse) figures(stdout string) map[string]any {
	h.t.Helper()
	var r map[string]any
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		h.t.Fatalf("%v: %s", err, stdout)
	}
	for _, key := range []string{"started", "finished", "stages", "host", "sha256", "results", "mail", "command"} {
		delete(r, key)
	}
	for _, c := range r["cells"].([]any) {
		c := c.(map[string]any)
		b := c["build"].(map[string]any)
		delete(b, "seconds")
		delete(b, "cached")
		if t, ok := c["tests"].(map[string]any); ok {
			for _, x := range t["cases"].([]any) {
				delete(x.(map[string]any), "seconds")
			}
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		h.t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte(h.dir), []byte("$HOUSE"))
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		h.t.Fatal(err)
	}
	return out
}

// left lists the processes that have the house in their command line or environment.
func (h *standInHouse) left() (all []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		env, _ := os.ReadFile(filepath.Join(d, "environ"))
		cmd, _ := os.ReadFile(filepath.Join(d, "cmdline"))
		if bytes.Contains(env, []byte(h.dir)) || bytes.Contains(cmd, []byte(h.dir)) {
			if alive(pid) {
				all = append(all, fmt.Sprintf("%d %q", pid, cmd))
			}
		}
	}
	return all
}

// nothingLeft checks that no process of a run that has ended is there a moment later.
func (h *standInHouse) nothingLeft() {
	h.t.Helper()
	var left []string
	for end := time.Now().Add(max(h.patience, 5*time.Second)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if left = h.left(); len(left) == 0 {
			return
		}
	}
	h.t.Errorf("left behind: %s", left)
}

// halves lists what is half-written below runs.
func (h *standInHouse) halves() (all []string) {
	filepath.WalkDir(filepath.Join(h.work(), "runs"), func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		name := d.Name()
		switch b, _ := os.ReadFile(p); {
		case strings.HasPrefix(name, ".tmp-"), strings.HasPrefix(name, ".mbox-"), strings.HasPrefix(name, ".new-"):
			all = append(all, p)
		case strings.HasPrefix(name, "v") && filepath.Ext(name) == ".json":
			if _, err := results.Load(p); err != nil {
				all = append(all, err.Error())
			}
		case filepath.Ext(name) == journalExt && (len(b) == 0 || b[len(b)-1] != '\n'):
			all = append(all, p)
		}
		return nil
	})
	return all
}

var continues = regexp.MustCompile(`(?m)^continues run (\S+): (\d+) of 6 cells done$`)

// A run that is killed anywhere is gone on with: the record comes out the same, nothing that is finished is done again, and
// of the killed one nothing is left.
func TestKill(t *testing.T) {
	first := newStandInHouse(t, killConfig)
	started := time.Now()
	stdout, stderr, status := first.run(runArgs...)
	took := time.Since(started)
	if status != 0 {
		t.Fatalf("exit status %d:\n%s\n%s", status, stderr, stdout)
	}
	want := first.figures(stdout)
	made, booted := first.lines("made"), first.lines("booted")
	if len(made) != 6 || total(made) != 6 || len(booted) != 6 || total(booted) != 6 {
		t.Fatalf("a run made %v and booted %v, want six of each", made, booted)
	}
	t.Logf("a whole run takes %v", took)
	const workers = 4
	points := 16
	if need.Everything(t) {
		points = 100
	}
	var mu sync.Mutex
	hit := map[string]int{}
	t.Run("points", func(t *testing.T) {
		for w := range workers {
			t.Run(strconv.Itoa(w), func(t *testing.T) {
				t.Parallel()
				rnd := rand.New(rand.NewPCG(uint64(w), uint64(took)))
				for range points / workers {
					at := killOnce(t, want, time.Duration(rnd.Int64N(int64(2*took))))
					mu.Lock()
					hit[at]++
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("killed: %v", hit)
	for _, at := range []string{"in builds", "in tests"} {
		if hit[at] == 0 && points >= 100 { // a few may all miss
			t.Errorf("the kills hit %v: that is not everywhere", hit)
		}
	}
}

// killOnce kills a run after some time and has it gone on with; it returns where the kill hit.
func killOnce(t *testing.T, want map[string]any, after time.Duration) string {
	h := newStandInHouse(t, killConfig)
	defer os.RemoveAll(h.dir)
	c, _, _ := h.command(runArgs...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	c.Process.Signal(syscall.SIGKILL)
	c.Wait()
	h.nothingLeft()
	was := journalOf(t, h)
	made, booted := h.lines("made"), h.lines("booted")
	stdout, stderr, status := h.run(runArgs...)
	if status != 0 {
		t.Fatalf("killed after %v: exit status %d:\n%s", after, status, stderr)
	}
	if d := cmp.Diff(want, h.figures(stdout)); d != "" {
		t.Errorf("killed after %v: another record (-want +got):\n%s", after, d)
	}
	if left := h.halves(); len(left) > 0 {
		t.Errorf("killed after %v: half-written: %s", after, left)
	}
	// What the stand-ins had come to the end of, and the journal has not, may be done again: one kernel at most, and as many
	// guests as there were side by side.
	check := func(what string, before, after map[string]int, noted, most int) {
		t.Helper()
		if extra := total(after) - 6; extra < 0 || extra > min(most, total(before)-noted) || len(after) != 6 {
			t.Errorf("%d %s for six cells; of %d before the kill %d were in the journal", total(after), what, total(before), noted)
		}
	}
	check("kernels made", made, h.lines("made"), was.stages["build"], 1)
	check("guests booted", booted, h.lines("booted"), was.guests, runtime.NumCPU())
	m := continues.FindStringSubmatch(stderr)
	if goes := was.stages["build"] > 0 && !was.ended; goes != (m != nil) || goes && m[2] != strconv.Itoa(was.stages["test"]) {
		t.Errorf("the journal has %v, and the next run says %q", was.stages, m)
	}
	return was.at()
}

// A bisection that is killed goes on where it was.
func TestKillBisect(t *testing.T) {
	args := []string{"bisect", "demo", "--test", "TestThirty", "--mended", "--json"}
	first := newStandInHouse(t, killConfig)
	started := time.Now()
	if out, stderr, status := first.run(args...); status != 0 || !strings.Contains(out, `"first": 2,`) {
		t.Fatalf("exit status %d: %s\n%s", status, out, stderr)
	}
	took := time.Since(started)
	rnd := rand.New(rand.NewPCG(2, uint64(took)))
	for range 8 {
		h := newStandInHouse(t, killConfig)
		after := time.Duration(rnd.Int64N(int64(took)))
		c, _, _ := h.command(args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		c.Process.Signal(syscall.SIGKILL)
		c.Wait()
		h.nothingLeft()
		out, stderr, status := h.run(args...)
		if status != 0 || !strings.Contains(out, `"first": 2,`) {
			t.Errorf("killed after %v: exit status %d: %s\n%s", after, status, out, stderr)
		}
		// Three prefixes; one kernel or one guest that was whole, and had not been put away, may be there twice.
		if made, booted := total(h.lines("made")), total(h.lines("booted")); made < 3 || booted < 3 || made+booted > 7 {
			t.Errorf("killed after %v: %d kernels made, %d guests booted, want three of each", after, made, booted)
		}
	}
}

// A journalState is what a journal says, for these tests.
type journalState struct {
	began, ended bool
	stages       map[string]int
	guests       int
}

func (s journalState) at() string {
	switch {
	case s.ended:
		return "after the end"
	case !s.began:
		return "before the journal"
	case s.stages["build"] < 6:
		return "in builds"
	case s.stages["test"] < 6:
		return "in tests"
	}
	return "after tests"
}

func journalOf(t *testing.T, h *standInHouse) journalState {
	t.Helper()
	s := journalState{stages: map[string]int{}}
	names := journals(t, filepath.Join(h.work(), "runs", "demo"))
	if len(names) > 1 {
		t.Errorf("%d journals of one run", len(names))
	}
	for _, name := range names {
		lines, _, err := readJournal(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			switch l.Event {
			case "begin":
				s.began = true
			case "end":
				s.ended = true
			case "guest":
				s.guests++
			case "done":
				s.stages[l.Stage]++
			}
		}
	}
	return s
}
