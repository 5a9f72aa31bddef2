// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/kernel/kconfig"
)

// The tests of this file build a real kernel, the smallest there is.

// realJob is a job for that kernel.
func realJob(t testing.TB, s *Store, spec string) Job {
	t.Helper()
	a, err := FindArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	return Job{Source: realSource(t, s, spec), Arch: a, Config: "tiny", Fragments: []*kconfig.Fragment{fragment(t, "CONFIG_64BIT=y\n")}}
}

// realSource resolves the source, or borrows it from the work folder that it is in: copying takes as long as some builds.
func realSource(t testing.TB, s *Store, spec string) *Source {
	t.Helper()
	dir := strings.TrimPrefix(spec, "dir:")
	hash := filepath.Base(dir)
	probe := filepath.Join(s.Dir, "probe")
	if !exists(dir+".manifest") || os.Link(filepath.Join(dir, "Makefile"), probe) != nil {
		return resolve(t, s, spec)
	}
	os.Remove(probe)
	for _, ext := range []string{"", ".manifest"} {
		if err := os.Symlink(dir+ext, s.src(hash+ext)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	b, err := ParseBase(spec)
	if err != nil {
		t.Fatal(err)
	}
	src, err := newSource(b, s.src(hash), hash)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func needBuild(t testing.TB) (spec string) {
	t.Helper()
	for _, tool := range []string{"make", "gcc", "ld", "flex", "bison", "bc"} {
		need.Tool(t, tool)
	}
	return "dir:" + need.Source(t)
}

func sum(t testing.TB, r *Build) string {
	t.Helper()
	return fmt.Sprintf("%x", sha256.Sum256([]byte(readFileT(t, r.Image))))
}

// TestReproducible builds a kernel without ccache and undisturbed, and then elsewhere, with ccache and with kill -9 at
// random times to all that the build consists of, and with a patch that comes and goes; at the end both are the same, byte
// for byte. A kill falls into the link as well as into the compilation of single files.
func TestReproducible(t *testing.T) {
	if os.Getenv("SERIES_TEST_BUILD") != "" {
		buildChild(t)
		return
	}
	need.Long(t)
	spec := needBuild(t)
	quiet := &Builder{Store: makeDiskStore(t, "quiet"), NoCcache: true}
	j := realJob(t, quiet.Store, spec)
	want := build(t, quiet, j)
	t.Logf("undisturbed: %d objects in %.0f s", want.Objects, want.Seconds)

	patched := j
	patched.Files = overlay("kernel/fork.c", readFileT(t, filepath.Join(j.Source.Dir, "kernel/fork.c"))+"\nint series_test_symbol;\n")
	wantPatched := build(t, quiet, patched)
	if wantPatched.Objects > 60 {
		t.Errorf("a patch of one file had %d objects made", wantPatched.Objects)
	}
	if sum(t, want) == sum(t, wantPatched) {
		t.Fatal("the patch made no difference")
	}

	t.Setenv("CCACHE_DIR", filepath.Join(t.TempDir(), "ccache"))
	loud := &Builder{Store: makeDiskStore(t, "a/longer/path/to/the/other")}
	k := realJob(t, loud.Store, spec)
	kills := 0
	for _, after := range []float64{0.3, 0.8, 1.05} { // of the time that the build took
		if killBuild(t, loud.Store.Dir, spec, "", time.Duration(after*want.Seconds*float64(time.Second))) {
			kills++
		}
	}
	got := build(t, loud, k)
	if got.ID != want.ID || sum(t, got) != sum(t, want) {
		t.Errorf("ids %s and %s, vmlinux %s and %s", got.ID, want.ID, sum(t, got), sum(t, want))
	}
	// Now the same with objects of an earlier build about, which is where a kill leaves files that look good.
	step := time.Duration(wantPatched.Seconds * float64(time.Second) / 6)
	for i := range 8 {
		patch := []string{"series_test_symbol", "series_test_other"}[i%2]
		if killBuild(t, loud.Store.Dir, spec, patch, time.Duration(i)*step) {
			kills++
		}
	}
	if err := loud.Store.Cache.Remove("build", want.ID); err != nil {
		t.Fatal(err)
	}
	again := build(t, loud, k)
	if again.Cached || sum(t, again) != sum(t, want) {
		t.Errorf("after kills: cached %v, vmlinux %s, want %s", again.Cached, sum(t, again), sum(t, want))
	}
	k.Files = overlay("kernel/fork.c", string(patched.Files["kernel/fork.c"].Data))
	if r := build(t, loud, k); sum(t, r) != sum(t, wantPatched) {
		t.Errorf("patched after kills: vmlinux %s, want %s", sum(t, r), sum(t, wantPatched))
	}
	if kills < 6 {
		t.Errorf("only %d builds were killed in time", kills)
	}
	t.Logf("%d builds killed; then %d objects in %.0f s", kills, again.Objects, again.Seconds)
}

// makeDiskStore makes a store on disk, where a kernel has room.
func makeDiskStore(t testing.TB, name string) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// killBuild has a child build, and kills it and all that it started after some time. It tells whether the build still ran.
func killBuild(t *testing.T, work, spec, patch string, after time.Duration) bool {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "-test.run=^TestReproducible$")
	c.Env = append(os.Environ(), "SERIES_TEST_BUILD="+work, "SERIES_TEST_SPEC="+spec, "SERIES_TEST_PATCH="+patch)
	out := &strings.Builder{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	log := filepath.Join(work, "obj", "amd64-tiny.stamp")
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if data, _ := os.ReadFile(log); strings.Contains(string(data), `"running": true`) {
			break
		}
	}
	select {
	case <-time.After(after):
		for _, pid := range descendants(c.Process.Pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		c.Process.Kill()
		<-done
		return true
	case err := <-done:
		if err != nil {
			t.Fatalf("the child that was to be killed says %s", out)
		}
		return false
	}
}

// descendants lists the processes below one, deepest last, so that none is told of its parent's end first.
func descendants(pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range tasks {
		data, _ := os.ReadFile(name)
		for _, f := range strings.Fields(string(data)) {
			n, _ := strconv.Atoi(f)
			syscall.Kill(n, syscall.SIGSTOP)
			all = append(append(all, n), descendants(n)...)
		}
	}
	return all
}

func buildChild(t *testing.T) {
	s, err := OpenStore(os.Getenv("SERIES_TEST_BUILD"))
	if err != nil {
		t.Fatal(err)
	}
	j := realJob(t, s, os.Getenv("SERIES_TEST_SPEC"))
	if p := os.Getenv("SERIES_TEST_PATCH"); p != "" {
		// A name of its own each time, so that it is never built already.
		j.Files = overlay("kernel/fork.c", readFileT(t, filepath.Join(j.Source.Dir, "kernel/fork.c"))+"\nint "+p+strconv.FormatInt(time.Now().UnixNano(), 10)+";\n")
	}
	if _, err := (&Builder{Store: s}).Build(context.Background(), j); err != nil {
		t.Fatal(err)
	}
}

// A source that does not compile, does not link or asks for what is not there: what the real tools say is understood.
func TestRealErrors(t *testing.T) {
	spec := needBuild(t)
	s := makeDiskStore(t, "work")
	b := &Builder{Store: s}
	j := realJob(t, s, spec)
	j.Fragments = append(j.Fragments, fragment(t, "CONFIG_AUDITSYSCALL=y\nCONFIG_AUDITT=y\n"))
	_, err := b.Configure(t.Context(), j)
	var lost *kconfig.LostError
	if !errors.As(err, &lost) || len(lost.Lost) != 2 {
		t.Fatalf("Configure = %v, want two lost symbols", err)
	}
	for i, want := range []string{"CONFIG_AUDITSYSCALL=y (test.config:1) did not survive: it depends on AUDIT && HAVE_ARCH_AUDITSYSCALL; AUDIT is not set (it depends on NET; NET is not set)",
		"CONFIG_AUDITT=y (test.config:2) did not survive: there is no such symbol for this architecture; did you mean AUDIT?"} {
		if got := lost.Lost[i].String(); got != want {
			t.Errorf("Configure: %s\nwant %s", got, want)
		}
	}
	// The first file that kbuild compiles for the target.
	j = realJob(t, s, spec)
	bounds := readFileT(t, filepath.Join(j.Source.Dir, "kernel/bounds.c"))
	j.Files = overlay("kernel/bounds.c", bounds+"\nint f(void) { int unused; return no_such; }\n")
	_, err = b.Build(t.Context(), j)
	var be *BuildError
	if !errors.As(err, &be) || be.First().File != "kernel/bounds.c" || !strings.Contains(be.First().Message, "no_such") || be.First().Line != strings.Count(bounds, "\n")+2 {
		data, _ := json.Marshal(be)
		t.Errorf("Build = %v %s, want an error in kernel/bounds.c", err, data)
	}
	j.Files = overlay("Kbuild", readFileT(t, filepath.Join(j.Source.Dir, "Kbuild"))+"\n$(error out of order)\n")
	if _, err = b.Build(t.Context(), j); !errors.As(err, &be) || be.First().File != "Kbuild" || !strings.Contains(be.First().Message, "out of order") {
		t.Errorf("Build = %v, want an error in Kbuild", err)
	}
	j.Files = overlay("init/Kconfig", readFileT(t, filepath.Join(j.Source.Dir, "init/Kconfig"))+"\nconfig X\n\tboool \"x\"\n")
	if _, err = b.Build(t.Context(), j); !errors.As(err, &be) || be.First().File != "init/Kconfig" {
		t.Errorf("Build = %v, want an error in init/Kconfig", err)
	}
}
