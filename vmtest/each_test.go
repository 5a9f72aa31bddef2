// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/cache"
)

func outcomes(r *TestResult) (got []string) {
	for _, x := range r.Tests {
		got = append(got, x.Name+" "+x.Action)
	}
	return got
}

// Each test has the guest for itself, and finds it as it was when it had booted.
func TestRealEach(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		for _, cpus := range []int{1, 2} {
			t.Run(fmt.Sprint(cpus), func(t *testing.T) {
				m := m
				m.CPUs, m.Dir = cpus, t.TempDir()
				bin := testBinary(t, m.Arch, "fresh")
				res, err := TestEach(t.Context(), m, Job{Binary: bin})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%v", res.Times)
				want := []string{"TestOne pass", "TestTwo pass", "TestThree pass", "TestTimers pass", "TestBelow pass",
					"TestBelow/sub pass", "TestBelow/other pass", "TestSkipped skip", "TestFailing fail"}
				if d := cmp.Diff(want, outcomes(res)); d != "" {
					t.Errorf("tests (-want +got)\n%s", d)
				}
				wantVerdict(t, res.Verdict, Fail, "TestFailing failed")
				for _, path := range []string{res.Log, res.JSON} {
					if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "TestOne") || !strings.Contains(string(b), "TestFailing") {
						t.Errorf("%s: %v, has not all of the tests:\n%s", path, err, b)
					}
				}
				// In one guest, all but the first fail: the tests can tell.
				m.Dir = t.TempDir()
				if res, err = Test(t.Context(), m, Job{Binary: bin}); err != nil || res.Passed != 1 {
					t.Errorf("in one guest: %d passed, %v; want 1", res.Passed, err)
				}
			})
		}
	})
}

func TestRealEachChooses(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		res, err := TestEach(t.Context(), m, Job{Binary: testBinary(t, m.Arch, "fresh"), Args: []string{"-test.run=Below|Two/sub"}})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"TestTwo pass", "TestBelow pass", "TestBelow/sub pass"}, outcomes(res)); d != "" {
			t.Errorf("tests (-want +got)\n%s", d)
		}
		wantVerdict(t, res.Verdict, Pass, "")
	})
}

// A kernel that complains while it boots has done so for each test.
func TestRealSnapshotOfSplat(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.Cmdline = []string{"rcutree.rcu_fanout_leaf=1"}
		res, err := TestEach(t.Context(), m, Job{Binary: testBinary(t, m.Arch, "fresh"), Args: []string{"-test.run=One"}})
		if err != nil {
			t.Fatal(err)
		}
		wantVerdict(t, res.Verdict, Splat, "WARNING")
	})
}

// A state that is not what QEMU wrote is not gone on from, and says nothing about the kernel.
func TestRealSnapshotDamaged(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		j := Job{Binary: testBinary(t, m.Arch, "fresh")}
		if err := newSession(j).prepare(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		s, _, err := m.snapshot(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		state, err := os.ReadFile(filepath.Join(s.dir, stateFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, stateFile), state[:len(state)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		s.dir = dir
		_, err = s.restore(t.Context(), filepath.Join(dir, "logs"))
		wantVerdict(t, verdictOf(t, err), Rig, "did not come back from its snapshot")
	})
}

func TestNoSnapshot(t *testing.T) {
	kernel := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(kernel, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]Machine{
		"icount":   {Arch: AMD64, Kernel: kernel, Icount: &Icount{Seed: 1}},
		"KVM":      {Arch: AMD64, Kernel: kernel, Accel: KVM},
		"firmware": {Arch: PPC64, Kernel: kernel, Firmware: "slof"},
	} {
		if _, _, err := m.snapshot(t.Context(), nil); !errors.Is(err, ErrNoSnapshot) {
			t.Errorf("snapshot with %s = %v, want ErrNoSnapshot", name, err)
		}
	}
}

func TestSplitRun(t *testing.T) {
	for _, tc := range []struct {
		args           []string
		pattern, below string
		rest           []string
	}{
		{nil, "", "", nil},
		{[]string{"-test.run=A|B"}, "A|B", "", nil},
		{[]string{"-test.count=1", "-test.run", "A/b/c", "-test.short"}, "A", "/b/c", []string{"-test.count=1", "-test.short"}},
		{[]string{"--run=A"}, "A", "", nil},
		{[]string{"run=A"}, "", "", []string{"run=A"}},
	} {
		e := &each{job: Job{Args: tc.args}}
		e.splitRun()
		if e.pattern != tc.pattern || e.below != tc.below || !cmp.Equal(e.args, tc.rest) {
			t.Errorf("splitRun(%q) = %q, %q, %q", tc.args, e.pattern, e.below, e.args)
		}
	}
}

// Two measurements of the same counter are never the same, and have the same snapshot all the same.
func TestSameRate(t *testing.T) {
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ measured, want int64 }{{2596126, 2596126}, {2596140, 2596126}, {2595990, 2596126}, {2600000, 2600000}, {2596126, 2596126}} {
		if got, err := sameRate(t.Context(), c, step.measured); err != nil || got != step.want {
			t.Errorf("sameRate(%d) = %d, %v, want %d", step.measured, got, err, step.want)
		}
	}
}

// What a guest goes on from is, to the last byte, what was saved; QEMU shows firmware in the place of some of it.
func TestRealSnapshotMemory(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		j := Job{Binary: testBinary(t, m.Arch, "fresh")}
		if err := newSession(j).prepare(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		s, _, err := m.snapshot(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		g, err := s.load(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		saved, err := os.ReadFile(filepath.Join(s.dir, memoryFile))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "memory")
		if err := g.mon.Execute(t.Context(), "pmemsave", map[string]any{"val": 0, "size": len(saved), "filename": path}, nil); err != nil {
			t.Fatal(err)
		}
		loaded, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		const bios, end = 0xf0000, 0x100000
		if m.Arch == AMD64 {
			copy(loaded[bios:end], saved[bios:end])
		}
		if !bytes.Equal(saved, loaded) {
			t.Error("the memory is not what was saved")
		}
		if bytes.Count(saved, []byte("series")) == 0 {
			t.Error("the memory that was saved is not that of a guest that ran")
		}
	})
}
