// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel/kconfig"
)

// fakeMake does what kbuild does, in small: allnoconfig writes a .config, a build makes an object of each .c file that is
// newer than it, and vmlinux of all of them. The source's fake.sh, where there is one, runs before a build.
const fakeMake = `#!/bin/sh
test "$1" = --version && { echo "GNU Make fake"; exit; }
what=
while [ $# -gt 0 ]; do case "$1" in
-C) tree=$2; shift;;
O=*) obj=${1#O=};;
KCONFIG_ALLCONFIG=*) all=${1#*=};;
-*) ;;
*=*) ;;
*) what="$what $1";;
esac; shift; done
cd "$obj" || exit 2
echo "$what" >> ../fake-make.calls
case "$what" in *allnoconfig*)
	grep -v CONFIG_B "$all" > .config
	exit 0;;
esac
if [ -e "$tree/fake.sh" ]; then . "$tree/fake.sh"; fi
test -e .config || exit 2
objs=
for c in $(cd "$tree"; find . -name '*.c' | sort); do
	o=${c#./}; o=${o%.c}.o
	mkdir -p "$(dirname "$o")"
	if ! [ -e "$o" ] || [ "$tree/$c" -nt "$o" ]; then echo "  CC      $o"; { echo "object:"; cat "$tree/$c"; } > "$o"; fi
	objs="$objs $o"
done
echo "  LD      vmlinux"
cat .config $objs > vmlinux
echo map > System.map
echo fs/x.o > modules.order; mkdir -p fs; echo ko > fs/x.ko
`

// fakeTools puts a toolchain first in PATH, and returns its folder.
func fakeTools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := FindArch("ppc64")
	var names []string
	for _, tool := range crossTools {
		names = append(names, tool, a.Cross+tool)
	}
	for _, name := range append(names, "flex", "bison", "bc", "cc1", "collect2") {
		write(name, "#!/bin/sh\ncase \"$1\" in -print-prog-name=*) echo \""+dir+"/${1#*=}\";; *) echo \""+name+" (fake) 1.0\"; echo more;; esac\n")
	}
	write("make", fakeMake)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

func fragment(t testing.TB, text string) *kconfig.Fragment {
	t.Helper()
	f, err := kconfig.Parse(strings.NewReader(text), "test.config")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func fakeBuilder(t *testing.T) (*Builder, Job) {
	t.Helper()
	s := makeStore(t)
	a, err := FindArch("ppc64")
	if err != nil {
		t.Fatal(err)
	}
	return &Builder{Store: s, NoCcache: true}, Job{Source: fakeSource(t, s, fakeKernel), Arch: a, Fragments: []*kconfig.Fragment{fragment(t, "CONFIG_A=y\n")}}
}

// calls counts what the fake make was asked for.
func calls(t testing.TB, b *Builder) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.Store.Dir, "obj", "fake-make.calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(data), "\n")
}

func build(t testing.TB, b *Builder, j Job) *Build {
	t.Helper()
	r, err := b.Build(t.Context(), j)
	if err != nil {
		t.Fatalf("Build = %v", err)
	}
	return r
}

func readFileT(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestBuild(t *testing.T) {
	fakeTools(t)
	b, j := fakeBuilder(t)
	first := build(t, b, j)
	if first.Cached || first.Objects != 4 || calls(t, b) != 2 {
		t.Errorf("first: cached %v, %d objects, %d calls of make", first.Cached, first.Objects, calls(t, b))
	}
	if got := readFileT(t, first.Image); !strings.Contains(got, "CONFIG_A=y\n") || !strings.Contains(got, "int fork;") {
		t.Errorf("vmlinux is %q", got)
	}
	for _, name := range []string{first.SystemMap, first.Config, first.Log, filepath.Join(filepath.Dir(first.Image), "build.json")} {
		if readFileT(t, name) == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if log := readFileT(t, first.Log); !strings.Contains(log, "CC      kernel/fork.o") {
		t.Errorf("log is %q", log)
	}
	// Again: nothing runs, nothing is written, and no tree is needed.
	if err := os.RemoveAll(filepath.Join(b.Store.Dir, "tree")); err != nil {
		t.Fatal(err)
	}
	again := build(t, b, j)
	if !again.Cached || again.ID != first.ID || calls(t, b) != 2 || again.Seconds != first.Seconds || exists(filepath.Join(b.Store.Dir, "tree")) {
		t.Errorf("again: %+v, %d calls of make", again, calls(t, b))
	}
	if err := os.Mkdir(filepath.Join(b.Store.Dir, "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	// The JSON has the names that DESIGN promises, and lists for lists.
	data, _ := json.Marshal(again)
	for _, want := range []string{`"id":"`, `"image":"`, `"log":"`, `"cached":true`, `"seconds":`, `"warnings_new":[]`, `"errors":[]`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("JSON has no %s: %s", want, data)
		}
	}
	// A patch that touches no Kconfig file: no new configuration, and only its file is compiled.
	j.Files = overlay("kernel/fork.c", "int fork2;\n")
	t0 := calls(t, b)
	fork2 := build(t, b, j)
	if fork2.Cached || fork2.ID == first.ID || calls(t, b) != t0+1 {
		t.Errorf("patched: cached %v, %d calls of make, want 1", fork2.Cached, calls(t, b)-t0)
	}
	if !strings.Contains(readFileT(t, fork2.Image), "int fork2;") {
		t.Error("patched: the old file was built")
	}
	// Back to the base: known.
	j.Files = overlay("kernel/fork.c", "int fork;\n")
	if r := build(t, b, j); !r.Cached || r.ID != first.ID {
		t.Errorf("an overlay of the base's own files is another build: %+v", r)
	}
	// A patch of a Kconfig file is configured anew.
	j.Files = overlay("Kconfig", fakeKernel["Kconfig"]+"\nconfig D\n\tbool\n")
	t0 = calls(t, b)
	if r := build(t, b, j); r.Cached || calls(t, b) != t0+2 {
		t.Errorf("Kconfig patched: cached %v, %d calls, want 2", r.Cached, calls(t, b)-t0)
	}
	// Modules are kept.
	j.Files, j.Targets = nil, []string{"modules"}
	if r := build(t, b, j); readFileT(t, filepath.Join(filepath.Dir(r.Image), "modules", "fs", "x.ko")) != "ko\n" {
		t.Error("no module")
	}
}

// Only what is new is compiled, and after each change the output is what a build from nothing gives.
func TestBuildIncremental(t *testing.T) {
	fakeTools(t)
	b, j := fakeBuilder(t)
	build(t, b, j)
	for i, changes := range [][]string{
		{"kernel/fork.c", "int a;\n"},
		{"kernel/fork.c", "int b;\n", "init/main.c", "int m;\n"},
		{"init/main.c", "int m;\n"},
		{"kernel/fork.c", "int a;\n", "init/main.c", "int x;\n"},
	} {
		j.Files = overlay(changes...)
		r := build(t, b, j)
		fresh, k := fakeBuilder(t)
		k.Files = j.Files
		want := build(t, fresh, k)
		if got, want := readFileT(t, r.Image), readFileT(t, want.Image); got != want {
			t.Errorf("step %d: incremental %q, want %q", i, got, want)
		}
		if r.ID != want.ID {
			t.Errorf("step %d: ids %s and %s of the same input in two work folders", i, r.ID, want.ID)
		}
		if r.Fresh != "" || r.Objects > 3 {
			t.Errorf("step %d: %d objects made, and removed since %q", i, r.Objects, r.Fresh)
		}
	}
}

func TestBuildSpecID(t *testing.T) {
	spec := BuildSpec{"a", "b", "c", "d", "e", "f", "g"}
	seen := map[string]bool{spec.ID(): true}
	for _, other := range []BuildSpec{{"A", "b", "c", "d", "e", "f", "g"}, {"a", "B", "c", "d", "e", "f", "g"}, {"a", "b", "C", "d", "e", "f", "g"},
		{"a", "b", "c", "D", "e", "f", "g"}, {"a", "b", "c", "d", "E", "f", "g"}, {"a", "b", "c", "d", "e", "F", "g"}, {"a", "b", "c", "d", "e", "f", "G"}, {"ab", "", "c", "d", "e", "f", "g"}} {
		if seen[other.ID()] {
			t.Errorf("%+v has the id of another spec", other)
		}
		seen[other.ID()] = true
	}
}

func TestBuildFails(t *testing.T) {
	fakeTools(t)
	b, j := fakeBuilder(t)
	j.Files = overlay("fake.sh", `echo "  CC      kernel/fork.o"; echo "$tree/kernel/fork.c:7:3: error: no such thing" >&2; echo "make: *** [$tree/Makefile:1: vmlinux] Error 2"; exit 2`)
	_, err := b.Build(t.Context(), j)
	var be *BuildError
	if !errors.As(err, &be) || !strings.Contains(err.Error(), "build ppc64-release: kernel/fork.c:7: error: no such thing; log: ") {
		t.Fatalf("Build = %v, want a BuildError", err)
	}
	if log := readFileT(t, be.Log); !strings.Contains(log, "no such thing") {
		t.Errorf("log is %q", log)
	}
	if list, _ := filepath.Glob(filepath.Join(b.Store.Dir, "cache", "build", "*")); len(list) > 0 {
		t.Errorf("a failed build left %v", list)
	}
	// The source mended, the object folder is as good as before.
	j.Files = nil
	if r := build(t, b, j); r.Fresh != "" && r.Fresh != "it has no stamp" {
		t.Errorf("after a build that failed by itself, objects were removed: %s", r.Fresh)
	}
	// Not the source's fault.
	j.Files = overlay("fake.sh", `echo "fatal error: error writing to x.s: No space left on device"; exit 2`)
	if _, err := b.Build(t.Context(), j); err == nil || errors.As(err, &be) || !strings.Contains(err.Error(), "No space left") {
		t.Errorf("full disk: %v, want an error that is no BuildError", err)
	}
	// A log that cannot be written is an error, whatever make says.
	j.Files, j.Log = overlay("init/new.c", "x"), "/dev/full"
	if _, err := b.Build(t.Context(), j); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("log on a full disk: %v, want ENOSPC", err)
	}
}

func TestConfigureLost(t *testing.T) {
	fakeTools(t)
	b, j := fakeBuilder(t)
	j.Fragments = append(j.Fragments, fragment(t, "CONFIG_B=y\n"))
	_, err := b.Build(t.Context(), j)
	var lost *kconfig.LostError
	if !errors.As(err, &lost) || err.Error() != "CONFIG_B=y (test.config:1) did not survive: it depends on C; C is not set" {
		t.Errorf("Build = %v, want a LostError", err)
	}
	if list, _ := filepath.Glob(filepath.Join(b.Store.Dir, "cache", "config", "*")); len(list) > 0 {
		t.Errorf("a lost configuration left %v", list)
	}
}

func TestMissingTool(t *testing.T) {
	dir := fakeTools(t)
	b, j := fakeBuilder(t)
	if err := os.Remove(filepath.Join(dir, j.Arch.Cross+"gcc")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	_, err := b.Build(t.Context(), j)
	var me *run.MissingError
	if !errors.As(err, &me) || me.Package != "gcc-powerpc64-linux-gnu" {
		t.Errorf("Build = %v, want a MissingError", err)
	}
}

// Another compiler is another build, also when only a part of it that has no version of its own was replaced.
func TestToolchain(t *testing.T) {
	dir := fakeTools(t)
	b, j := fakeBuilder(t)
	first, err := b.Store.Toolchain(t.Context(), j.Arch)
	if err != nil {
		t.Fatal(err)
	}
	if first.Compiler != "powerpc64-linux-gnu-gcc (fake) 1.0" || first.Linker != "powerpc64-linux-gnu-ld (fake) 1.0" {
		t.Errorf("compiler %q, linker %q", first.Compiler, first.Linker)
	}
	seen := map[string]string{first.ID: "the first"}
	for _, name := range []string{"cc1", "as", "powerpc64-linux-gnu-ld", "flex", "make"} {
		full := filepath.Join(dir, name)
		data := readFileT(t, full)
		if err := os.WriteFile(full, []byte(data+"# other\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		tc, err := b.Store.Toolchain(t.Context(), j.Arch)
		if err != nil {
			t.Fatal(err)
		}
		if was, ok := seen[tc.ID]; ok {
			t.Errorf("with another %s the id is that of %s", name, was)
		}
		seen[tc.ID] = name
	}
	again, err := b.Store.Toolchain(t.Context(), j.Arch)
	if err != nil || seen[again.ID] != "make" {
		t.Errorf("again: id of %q, %v", seen[again.ID], err)
	}
}

func TestJobCheck(t *testing.T) {
	b, j := fakeBuilder(t)
	for _, change := range []func(*Job){
		func(j *Job) { j.Config = "../x" }, func(j *Job) { j.Targets = []string{"clean"} }, func(j *Job) { j.Source = nil },
		func(j *Job) { j.MakeArgs = []string{"-f/x"} }, func(j *Job) { j.MakeArgs = []string{"ARCH=x86"} }, func(j *Job) { j.MakeArgs = []string{"W=1\nx"} },
	} {
		k := j
		change(&k)
		if _, err := b.Build(t.Context(), k); err == nil {
			t.Errorf("Build(%+v) = nil, want an error", k)
		}
	}
}

// After ^C or a kill, what was being written is not believed.
func TestBuildInterrupted(t *testing.T) {
	fakeTools(t)
	b, j := fakeBuilder(t)
	want := build(t, b, j)
	good := readFileT(t, want.Image)

	// A build that leaves a file with half its content and a fresh time, and hangs.
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	k := j
	k.Files = overlay("init/main.c", "int other;\n", "fake.sh", `echo half > kernel/fork.o; rm -f init/main.o; touch hanging; sleep 60 & echo $! > sleeper; wait`)
	obj := filepath.Join(b.Store.Dir, "obj", "ppc64-release")
	go func() {
		for !exists(filepath.Join(obj, "sleeper")) {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		cancel(stop)
	}()
	start := time.Now()
	if _, err := b.Build(ctx, k); !errors.Is(err, stop) {
		t.Errorf("Build = %v, want what stopped it", err)
	}
	if d := time.Since(start); d > 8*time.Second {
		t.Errorf("it took %v to stop", d)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(readFileT(t, filepath.Join(obj, "sleeper"))))
	if err := waitGone(pid, time.Second); err != nil {
		t.Error(err)
	}
	j.Config = "release"
	j.Files = overlay("init/another.c", "int another;\n")
	r := build(t, b, j)
	if r.Fresh != "the last build in it was interrupted" {
		t.Errorf("objects were removed since %q", r.Fresh)
	}
	got := strings.Replace(readFileT(t, r.Image), "object:\nint another;\n", "", 1)
	if got != good {
		t.Errorf("after an interrupted build: %q, want %q", got, good)
	}
}

// waitGone waits until a process is gone, or is a zombie that nobody has collected yet.
func waitGone(pid int, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		_, state, _ := strings.Cut(string(stat), ") ")
		if err != nil || strings.HasPrefix(state, "Z") {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d is still there: %s", pid, stat)
		}
	}
}

// A job that has waited for its tree finds another compiler than the one that its id was made of: it is not built under that id.
func TestBuildWaitsForTree(t *testing.T) {
	dir := fakeTools(t)
	b, j := fakeBuilder(t)
	cfg, err := b.Configure(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := b.spec(t.Context(), j, cfg)
	if err != nil {
		t.Fatal(err)
	}
	cc1 := filepath.Join(dir, "cc1")
	if err := os.WriteFile(cc1, []byte(readFileT(t, cc1)+"#\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.build(t.Context(), j, cfg, spec, t.TempDir()); err == nil || !strings.Contains(err.Error(), "changed while it was used") {
		t.Errorf("build with a compiler that its id does not name = %v, want that it changed", err)
	}
	if r := build(t, b, j); r.ID == spec.ID() {
		t.Error("the new compiler's build has the old one's id")
	}
}

// Objects are thrown away when something other than a source file changes what they would be.
func TestBuildSetup(t *testing.T) {
	dir := fakeTools(t)
	b, j := fakeBuilder(t)
	build(t, b, j)
	next := 0
	check := func(what, want string) {
		t.Helper()
		next++
		j.Files = overlay("init/main.c", "int main"+strconv.Itoa(next)+";\n")
		if r := build(t, b, j); !strings.Contains(r.Fresh, want) || want == "" && r.Fresh != "" {
			t.Errorf("%s: objects were removed since %q, want %q", what, r.Fresh, want)
		}
	}
	check("nothing", "")
	full := filepath.Join(dir, "cc1")
	if err := os.WriteFile(full, []byte(readFileT(t, full)+"#\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	check("another cc1", "toolchain")
	check("nothing", "")
	if err := os.Remove(filepath.Join(b.Store.Dir, "tree", "ppc64.state")); err != nil {
		t.Fatal(err)
	}
	check("a new tree", "tree")
	j.MakeArgs = []string{"W=1"}
	check("other arguments", "arguments")
	if err := os.Remove(filepath.Join(b.Store.Dir, "obj", "ppc64-release.stamp")); err != nil {
		t.Fatal(err)
	}
	check("no stamp", "no stamp")
	// A header that shadows another of its name.
	j.Files = overlay("init/a.h", "#define A 2\n")
	if r := build(t, b, j); !strings.Contains(r.Fresh, "init/a.h") {
		t.Errorf("a header that shadows another: objects were removed since %q", r.Fresh)
	}
	j.Files = overlay("init/a.h", "#define A 2\n", "init/unique.h", "#define U\n")
	if r := build(t, b, j); r.Fresh != "" {
		t.Errorf("a header of a new name: objects were removed since %q", r.Fresh)
	}
	j.Files = overlay("init/unique.h", "#define U\n")
	if r := build(t, b, j); !strings.Contains(r.Fresh, "init/a.h") {
		t.Errorf("without the header again: objects were removed since %q", r.Fresh)
	}
}

// Jobs of one architecture wait for each other; the same job is built once.
func TestBuildTogether(t *testing.T) {
	fakeTools(t)
	b, j := fakeBuilder(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			k := j
			k.Files = overlay("init/main.c", "int m"+strconv.Itoa(i%2)+";\n")
			k.Config = []string{"release", "debug"}[i/2%2]
			r, err := b.Build(t.Context(), k)
			if err != nil {
				t.Error(err)
				return
			}
			if got := readFileT(t, r.Image); !strings.Contains(got, "int m"+strconv.Itoa(i%2)+";") {
				t.Errorf("job %d: %q", i, got)
			}
		})
	}
	wg.Wait()
	if n := calls(t, b); n != 3 { // one configuration, two kernels: the name of a configuration is not what it is
		t.Errorf("make was called %d times, want 3", n)
	}
}

// A compiler that changes while it compiles: what was made is neither the old one's nor the new one's, and is not kept.
func TestBuildToolchainChanges(t *testing.T) {
	dir := fakeTools(t)
	b, j := fakeBuilder(t)
	j.Files = overlay("fake.sh", "echo '#' >> "+filepath.Join(dir, "cc1"))
	r, err := b.Build(t.Context(), j)
	var be *BuildError
	if err == nil || errors.As(err, &be) || !strings.Contains(err.Error(), "changed while") {
		t.Fatalf("Build = %+v, %v, want an error that is not the source's", r, err)
	}
	if list, _ := filepath.Glob(filepath.Join(b.Store.Dir, "cache", "build", "*")); len(list) > 0 {
		t.Errorf("it left %v", list)
	}
	// With the compiler at rest it is built, from nothing.
	j.Files = overlay("fake.sh", "")
	if r := build(t, b, j); r.Fresh == "" {
		t.Error("objects of two compilers were used")
	}
}

// A clock that was set back makes every time stamp worthless.
func TestBuildClock(t *testing.T) {
	fakeTools(t)
	b, j := fakeBuilder(t)
	build(t, b, j)
	b.Store.clock = func() time.Time { return time.Now().Add(-time.Hour) }
	j.Files = overlay("kernel/fork.c", "int late;\n")
	r := build(t, b, j)
	if r.Fresh != "the clock was set back" || !strings.Contains(readFileT(t, r.Image), "int late;") {
		t.Errorf("objects were removed since %q", r.Fresh)
	}
	b.Store.clock = nil
	j.Files = overlay("kernel/fork.c", "int later;\n")
	if r := build(t, b, j); r.Fresh != "" || !strings.Contains(readFileT(t, r.Image), "int later;") {
		t.Errorf("a clock that goes right: objects were removed since %q", r.Fresh)
	}
}

// Known runs nothing, whatever the answer is.
func TestBuildKnown(t *testing.T) {
	fakeTools(t)
	b, j := fakeBuilder(t)
	known := func(want bool) {
		t.Helper()
		n := calls(t, b)
		if ok, err := b.Known(t.Context(), j); ok != want || err != nil || calls(t, b) != n {
			t.Errorf("Known = %v, %v, want %v; make was called %d times", ok, err, want, calls(t, b)-n)
		}
	}
	known(false)
	build(t, b, j)
	known(true)
	j.Files = overlay("kernel/fork.c", "int fork2;\n") // configured, not built
	known(false)
	j.Arch = Arch{}
	if _, err := b.Known(t.Context(), j); err == nil {
		t.Error("Known of a job without an architecture: no error")
	}
}
