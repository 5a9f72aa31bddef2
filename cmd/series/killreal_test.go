// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/linker"
)

// kills is how often TestKillReal does so.
const kills = 10

// TestKillReal kills a run of a real series, with the real compilers and QEMU, ten times, and has it gone on with each time.
// What comes of it is what comes of a run that nobody killed, to the last bit of the kernels.
func TestKillReal(t *testing.T) {
	need.Long(t)
	source := need.Source(t)
	need.Tool(t, "qemu-system-x86_64")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "series")); err != nil {
		t.Fatal(err)
	}
	series := func(work string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, "series"), "--work", work, "--patches", filepath.Join(root, "patches"), "--base", "dir:"+source,
			"run", "kauditd-wakeup", "--arch", "amd64", "--no-each", "--quick", "--json")
		c.Dir = root
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return c
	}
	clean, killed := &standInHouse{t: t, dir: t.TempDir()}, &standInHouse{t: t, dir: t.TempDir(), patience: time.Minute}
	finish := func(h *standInHouse) map[string]any {
		t.Helper()
		c := series(h.work())
		c.Stderr = os.Stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%v", err)
		}
		r := h.figures(string(out))
		for _, c := range r["cells"].([]any) { // times, and what tests print of them, are never the same twice
			c := c.(map[string]any)
			delete(c, "benchmarks")
			for _, x := range c["tests"].(map[string]any)["cases"].([]any) {
				delete(x.(map[string]any), "output")
			}
		}
		return r
	}
	started := time.Now()
	want := finish(clean)
	took := time.Since(started)
	rnd := rand.New(rand.NewPCG(10, uint64(took)))
	journal := filepath.Join(killed.work(), "runs", "kauditd-wakeup")
	done := func() (n int) {
		t.Helper()
		for _, name := range journals(t, journal) {
			lines, _, err := readJournal(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				if l.Event == "done" {
					n++
				}
			}
		}
		return n
	}
	stages := 0
	for i := range kills {
		c := series(killed.work())
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// Most of the time is that of the first kernel. So half of the kills come at any time, and half soon after there is one stage of
		// a cell more than there was, whatever that takes.
		longest := took / 5
		if i >= kills/2 {
			for end := time.Now().Add(10 * took); done() <= stages; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("kill %d: still %d stages of cells are done", i, stages)
				}
			}
			longest = took / 20
		}
		time.Sleep(time.Duration(rnd.Int64N(int64(longest))))
		c.Process.Signal(syscall.SIGKILL)
		c.Wait()
		killed.nothingLeft()
		now := done()
		if now < stages || i >= kills/2 && now == stages {
			t.Errorf("kill %d: the journal has %d stages, and had %d", i, now, stages)
		}
		stages = now
		t.Logf("kill %d: %d stages of cells are done", i, stages)
	}
	got := finish(killed)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("another record (-not killed +killed):\n%s", d)
	}
	if left := killed.halves(); len(left) > 0 {
		t.Errorf("half-written: %s", left)
	}
	if n := len(journals(t, journal)); n != 1 && stages < 6 {
		t.Errorf("%d journals of one run", n)
	}
	// The build-id is a hash of the kernel's content.
	for _, image := range images(t, clean.work()) {
		other := filepath.Join(killed.work(), image)
		a, err := linker.BuildID(filepath.Join(clean.work(), image))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := linker.BuildID(other); err != nil || a != b {
			t.Errorf("%s: build-ids %s and %s, %v", image, a, b, err)
		}
		x, _ := cache.HashFile(filepath.Join(clean.work(), image))
		if y, err := cache.HashFile(other); err != nil || x != y {
			t.Errorf("%s differs", image)
		}
	}
}

func images(t *testing.T, work string) (all []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(work, "cache", "build", "*", "vmlinux"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%d kernels, %v; want 2", len(names), err)
	}
	for _, n := range names {
		rel, err := filepath.Rel(work, n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rel)
	}
	return all
}
