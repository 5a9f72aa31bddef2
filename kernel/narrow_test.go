// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/kernel/kconfig"
)

// fakeKbuild is fakeMake with kbuild's records: what was made of what, by which command, and which archive it is in. An object
// is its source with the headers that this includes. It knows the makefile of a narrow build: of that it does what compiles,
// and links. The source's fake.sh runs before a build of either kind.
const fakeKbuild = `#!/bin/sh
test "$1" = --version && { echo "GNU Make fake"; exit; }
what= narrow=
while [ $# -gt 0 ]; do case "$1" in
-C) tree=$2; shift;;
-f) narrow=$2; shift;;
O=*) obj=${1#O=};;
KCONFIG_ALLCONFIG=*) all=${1#*=};;
-*) ;;
*=*) ;;
*) what="$what $1";;
esac; shift; done
if [ -n "$narrow" ]; then tree=$srctree obj=.; fi
cd "$obj" || exit 2
echo "${narrow:+narrow}$what" >> ../fake-make.calls
case "$what" in
*allnoconfig*)
	grep -v CONFIG_B "$all" > .config
	exit 0;;
*series-env*)
	out=$(sed -n 's/.*env -0 > //p' "$MAKEFILES")
	cflags=; test -e "$tree/cflags" && cflags=$(cat "$tree/cflags")
	printf '%s\0' "MAKEFLAGS=rR -j2 --jobserver-auth=3,4 -- O=$obj" srctree="$tree" objtree=. CC=cc LD=ld AR=ar KBUILD_CFLAGS="-O2 $cflags" KBUILD_LDS=lds \
		SERIES_LDFLAGS_vmlinux=-x sub_make_done=1 KBUILD_BUILTIN=1 KBUILD_MODULES= PATH="$PATH" > "$out"
	exit 0;;
esac
if [ -e "$tree/fake.sh" ]; then . "$tree/fake.sh"; fi
includes() { sed -n 's/^#include "\(.*\)"$/\1/p' "$tree/$1"; }
compile() { # object
	o=$1 c=${1%.o}.c
	mkdir -p "$(dirname "$o")"
	echo "  CC      $o"
	if grep -q '^#error' "$tree/$c"; then echo "$tree/$c:1:2: error: #error" >&2; echo "make: *** [$tree/Makefile:1: $o] Error 1" >&2; return 1; fi
	if grep -q '^#warning' "$tree/$c"; then echo "$tree/$c:1:2: warning: #warning [-Wcpp]" >&2; fi
	{ echo "object:"; cat "$tree/$c"; for h in $(includes "$c"); do cat "$tree/$h"; done; } > "$o"
	r=$(dirname "$o")/.$(basename "$o").cmd
	{ echo "savedcmd_$o := cc ${KBUILD_CFLAGS:--O2 } -c -o $o $tree/$c"; echo
	echo "source_$o := $tree/$c"; echo; echo "deps_$o := \\"
	for h in $(includes "$c"); do echo "  $tree/$h \\"; done; } > "$r"
}
objects() { (cd "$tree"; find . -name '*.c' ! -path './scripts/*' ! -path './tools/*' ! -path './drivers/*' | sed 's/^\.\///; s/c$/o/' | sort); }
if [ -n "$narrow" ]; then
	for o in $(sed -n 's/.* obj=[^ ]* need-builtin=1 need-modorder=1 //p' "$narrow"); do compile "$o" || exit 2; done
else
	test -e .config || exit 2
	if ! [ -e g.h ] || [ "$tree/include/gen.h" -nt g.h ]; then cat "$tree/include/gen.h" > g.h; fi
	echo "deps_g.h := $tree/include/gen.h" > .g.h.cmd
	if ! [ -e lds ] || [ "$tree/kernel/x.lds.S" -nt lds ]; then cat "$tree/kernel/x.lds.S" > lds; fi
	rest=
	for o in $(objects); do
		old=; c=${o%.o}.c
		for d in $c $(includes "$c"); do [ "$tree/$d" -nt "$o" ] && old=1; done
		if ! [ -e "$o" ] || [ -n "$old" ]; then compile "$o" || exit 2; fi
		d=$(dirname "$o")
		case "$rest" in *" $d/built-in.a"*) ;; *) rest="$rest $d/built-in.a"; : > "$d/list";; esac
		echo "$(basename "$o")" >> "$d/list"
	done
	for a in $rest; do d=$(dirname "$a")
		echo "savedcmd_$a := rm -f $a;  printf \"$d/%s \" $(tr '\n' ' ' < "$d/list")| xargs ar cDPrST $a" > "$d/.built-in.a.cmd"
	done
	echo "savedcmd_built-in.a := rm -f built-in.a;  printf \"./%s \"$rest | xargs ar cDPrST built-in.a" > .built-in.a.cmd
	echo "savedcmd_vmlinux.a := rm -f vmlinux.a; ar cDPrST vmlinux.a ./built-in.a  lib/lib.a; ar mPiT" > .vmlinux.a.cmd
	for t in vmlinux.o vmlinux.symvers vmlinux; do echo "savedcmd_$t := link $t" > .$t.cmd; done
fi
echo "  LD      vmlinux"
cat .config g.h lds $(objects) > vmlinux
echo map > System.map
echo fs/x.o > modules.order; mkdir -p fs; echo ko > fs/x.ko
`

// narrowKernel is a source for it.
var narrowKernel = with(fakeKernel,
	"Makefile", fakeKernel["Makefile"]+strings.Join(topRules, ""),
	"Kbuild", fakeKernel["Kbuild"]+"named: include/named.h\n",
	"kernel/fork.c", "#include \"include/linux/a.h\"\nint fork;\n",
	"kernel/exit.c", "#include \"kernel/../include/linux/a.h\"\nint exit;\n",
	"init/main.c", "#include \"include/named.h\"\n#include \"include/gen.h\"\nint main;\n",
	"include/named.h", "int named;\n",
	"include/gen.h", "int gen;\n",
	"include/unused.h", "int unused;\n",
	"include/other/a.h", "int other;\n",
	"kernel/other.c", "#include \"include/other/a.h\"\n#include \"include/copied.h\"\n",
	"include/copied.h", "int copied;\n",
	"tools/include/copied.h", "int copied;\n",
	"kernel/x.lds.S", "SECTIONS\n",
	"kernel/link.c", "#include \"include/link.h\"\n",
	"include/link.h", "->other/a.h",
	"drivers/foo.c", "int foo;\n",
	"cflags", "",
)

// A narrow build makes what kbuild would have made on its way through everything, and whatever is not surely so is made by that
// way: after each step the kernel is what a build from nothing gives.
func TestBuildNarrow(t *testing.T) {
	dir := fakeTools(t)
	if err := os.WriteFile(filepath.Join(dir, "make"), []byte(fakeKbuild), 0o755); err != nil {
		t.Fatal(err)
	}
	s := makeStore(t)
	b, j := &Builder{Store: s, NoCcache: true}, Job{Source: fakeSource(t, s, narrowKernel), Arch: Arches[0], Fragments: []*kconfig.Fragment{fragment(t, "CONFIG_A=y\n")}}
	steps := []struct {
		what    string
		changes []string
		folders string // that are looked at; "" means all
		wide    string // a part of why
		objects string // that are compiled
		err     string
	}{
		{what: "the first", wide: "no stamp", objects: "init/main.o kernel/audit/audit.o kernel/exit.o kernel/fork.o kernel/link.o kernel/other.o"},
		{what: "a C file", changes: []string{"kernel/fork.c", "int fork2;\n"}, folders: "kernel", objects: "kernel/fork.o"},
		{what: "the same again, with another, in another folder", changes: []string{"kernel/fork.c", "int fork3;\n", "kernel/audit/audit.c", "int audit3;\n"}, folders: "kernel kernel/audit", objects: "kernel/audit/audit.o kernel/fork.o"},
		{what: "back to the base", folders: "kernel kernel/audit", objects: "kernel/audit/audit.o kernel/fork.o"},
		{what: "a header, of which there are two of that name", changes: []string{"include/linux/a.h", "#define A 2\n"}, folders: "kernel", objects: "kernel/exit.o kernel/fork.o"},
		{what: "the other one, that something includes through a link", changes: []string{"include/linux/a.h", "#define A 2\n", "include/other/a.h", "int other2;\n"}, wide: "include/link.h leads to include/other/a.h", objects: "kernel/link.o kernel/other.o"},
		{what: "with documentation", changes: []string{"include/linux/a.h", "#define A 3\n", "include/other/a.h", "int other2;\n", "Documentation/new.rst", "new"}, folders: "kernel", objects: "kernel/exit.o kernel/fork.o"},
		{what: "documentation alone", changes: []string{"include/linux/a.h", "#define A 3\n", "include/other/a.h", "int other2;\n", "Documentation/new.rst", "newer"}, wide: "no file that is compiled"},
		{what: "back", wide: "include/link.h leads to", objects: "kernel/exit.o kernel/fork.o kernel/link.o kernel/other.o"},
		{what: "a header that something is generated from", changes: []string{"include/gen.h", "int gen2;\n"}, wide: "has a say in .g.h.cmd", objects: "init/main.o"},
		{what: "and back", wide: "has a say in .g.h.cmd", objects: "init/main.o"},
		{what: "a header that a makefile names", changes: []string{"include/named.h", "int named2;\n"}, wide: "a makefile or script names named.h", objects: "init/main.o"},
		{what: "a C file, and the header back", changes: []string{"kernel/fork.c", "int fork4;\n"}, wide: "names named.h", objects: "init/main.o kernel/fork.o"},
		{what: "the linker script", changes: []string{"kernel/fork.c", "int fork4;\n", "kernel/x.lds.S", "SECTIONS 2\n"}, wide: "linker's script"},
		{what: "a makefile", changes: []string{"kernel/fork.c", "int fork5;\n", "Kbuild", "obj-y += init/ fork.h\n"}, wide: "neither C nor assembler", objects: "kernel/fork.o"},
		{what: "a Kconfig file", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n"}, wide: "neither C nor assembler", objects: "kernel/fork.o"},
		{what: "a file without records", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "drivers/foo.c", "int foo2;\n"}, wide: "nothing is known to be compiled from drivers/foo.c"},
		{what: "a header that nobody includes", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "include/unused.h", "int unused2;\n"}, wide: "drivers/foo.c"},
		{what: "that header back", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n"}, wide: "include/unused.h"},
		{what: "a new C file", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "kernel/new.c", "int new;\n"}, wide: "kernel/new.c is new", objects: "kernel/new.o"},
		{what: "that one changed", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "kernel/new.c", "int newer;\n"}, folders: "kernel", objects: "kernel/new.o"},
		{what: "that one gone", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n"}, wide: "kernel/new.c is gone"},
		{what: "a file of the base gone", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "kernel/exit.c", "-"}, wide: "kernel/exit.c is gone"},
		{what: "and here again", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n"}, wide: "kernel/exit.c is new", objects: "kernel/exit.o"},
		{what: "a mode", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "kernel/exit.c*", "int exit2;\n"}, wide: "not an ordinary file", objects: "kernel/exit.o"},
		{what: "a header with a copy in tools", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "kernel/exit.c*", "int exit2;\n", "include/copied.h", "int copied2;\n"}, wide: "has a copy in tools", objects: "kernel/other.o"},
		{what: "a script", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "kernel/exit.c*", "int exit2;\n", "include/copied.h", "int copied2;\n", "scripts/a.c", "int a;\n"}, wide: "scripts/a.c is new"},
		{what: "an error", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "kernel/exit.c*", "int exit2;\n", "include/copied.h", "int copied2;\n", "scripts/a.c", "int a;\n", "kernel/fork.c", "#error\n"}, err: "kernel/fork.c:1: error: #error"},
		{what: "the error gone, something else changed", changes: []string{"Kconfig", "config A\n\tbool \"b\"\n", "kernel/exit.c*", "int exit2;\n", "include/copied.h", "int copied2;\n", "scripts/a.c", "int a;\n", "kernel/audit/audit.c", "int audit4;\n"},
			wide: "did not come to its end", objects: "kernel/audit/audit.o kernel/fork.o"},
	}
	narrow := 0
	for _, step := range steps {
		j.Files = overlay(step.changes...)
		r, err := b.Build(t.Context(), j)
		if step.err != "" {
			if be := (*BuildError)(nil); !errors.As(err, &be) || !strings.Contains(err.Error(), step.err) {
				t.Errorf("%s: Build = %v, want %s", step.what, err, step.err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: Build = %v", step.what, err)
		}
		if got := strings.Join(r.Folders, " "); !r.Cached && (got != step.folders || !strings.Contains(r.Wide, step.wide) || (r.Wide == "") != (step.folders != "")) {
			t.Errorf("%s: make was asked for %q since %q, want %q since %q", step.what, got, r.Wide, step.folders, step.wide)
		}
		if got := compiled(t, r); !r.Cached && got != step.objects {
			t.Errorf("%s: compiled %q, want %q", step.what, got, step.objects)
		}
		if step.folders != "" {
			narrow++
		}
		checkWhole(t, step.what, j, r)
		// What has been built is not built again: the next step is to find the folder as this one left it.
		if err := s.Cache.Remove("build", r.ID); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(readFileT(t, filepath.Join(s.Dir, "obj", "fake-make.calls")), "narrow"); n != narrow+1 { // and the error's
		t.Errorf("make was called %d times in a narrow way, want %d", n, narrow+1)
	}
}

// compiled lists the objects that a log has.
func compiled(t *testing.T, r *Build) string {
	t.Helper()
	var names []string
	for line := range strings.Lines(readFileT(t, r.Log)) {
		if o, ok := strings.CutPrefix(line, "  CC      "); ok {
			names = append(names, strings.TrimSpace(o))
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// checkWhole compares a build with one of the same from nothing.
func checkWhole(t *testing.T, what string, j Job, r *Build) {
	t.Helper()
	s := makeStore(t)
	defer os.RemoveAll(s.Dir)
	k := j
	k.Source = fakeSource(t, s, narrowKernel)
	want := build(t, &Builder{Store: s, NoCcache: true, Wide: true}, k)
	if got, want := readFileT(t, r.Image), readFileT(t, want.Image); got != want {
		t.Errorf("%s: vmlinux is %q, want %q", what, got, want)
	}
	if r.ID != want.ID || fmt.Sprint(r.Warnings) != fmt.Sprint(want.Warnings) {
		t.Errorf("%s: id %s with warnings %v, want %s with %v", what, r.ID, r.Warnings, want.ID, want.Warnings)
	}
}

// narrowBuilder has built narrowKernel once.
func narrowBuilder(t *testing.T, source map[string]string) (*Builder, Job) {
	t.Helper()
	dir := fakeTools(t)
	if err := os.WriteFile(filepath.Join(dir, "make"), []byte(fakeKbuild), 0o755); err != nil {
		t.Fatal(err)
	}
	s := makeStore(t)
	b, j := &Builder{Store: s, NoCcache: true}, Job{Source: fakeSource(t, s, source), Arch: Arches[0], Fragments: []*kconfig.Fragment{fragment(t, "CONFIG_A=y\n")}}
	build(t, b, j)
	return b, j
}

// What else than files may have changed between two builds.
func TestBuildNarrowElse(t *testing.T) {
	b, j := narrowBuilder(t, narrowKernel)
	n := 0
	check := func(what, wide string) {
		t.Helper()
		n++
		j.Files = overlay("kernel/fork.c", fmt.Sprintf("#include \"include/linux/a.h\"\nint fork%d;\n", n))
		r := build(t, b, j)
		if (r.Wide == "") != (wide == "") || !strings.Contains(r.Wide, wide) {
			t.Errorf("%s: make was asked for everything since %q, want %q", what, r.Wide, wide)
		}
		checkWhole(t, what, j, r)
	}
	obj := filepath.Join(b.Store.Dir, "obj", "amd64-release")
	check("nothing", "")
	j.Fragments = []*kconfig.Fragment{fragment(t, "CONFIG_A=y\nCONFIG_C=y\n")}
	check("another configuration", "another configuration")
	check("the same", "")
	j.Fragments = []*kconfig.Fragment{fragment(t, "CONFIG_A=y\nCONFIG_IKHEADERS=y\n")}
	check("an option that has headers read", "another configuration")
	check("the same", "has IKHEADERS")
	j.Fragments = []*kconfig.Fragment{fragment(t, "CONFIG_A=y\n")}
	check("without", "another configuration")
	j.Targets = []string{"modules"}
	check("modules", "modules are made, too")
	j.Targets = nil
	check("without", "")
	b.Wide = true
	check("it was asked for", "it was asked for")
	b.Wide = false
	if err := os.Remove(filepath.Join(obj, "vmlinux.o")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	check("a file that is made anyway is missing", "")
	if err := os.Remove(filepath.Join(obj, "kernel", ".built-in.a.cmd")); err != nil {
		t.Fatal(err)
	}
	check("a record is missing", "no object of an archive")
	check("it is back", "")
	stale := filepath.Join(obj, "kernel", ".old.o.cmd")
	if err := os.WriteFile(stale, []byte("deps_kernel/old.o := ../../tree/amd64/kernel/fork.c"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("a record of what is no part, with a relative path", "kernel/.old.o.cmd, which is no object of an archive")
	if err := os.WriteFile(stale, []byte("deps_kernel/old.o := ../../tree/amd64/link/fork.c"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("a record of what may be the file", "which may be kernel/fork.c")
	if err := os.WriteFile(stale, []byte("deps_kernel/old.o := /usr/include/fork.c.h ../../tree/amd64/kernel/fork.cc generated/fork.c"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("a record of what is not the file", "")
	// A build that was killed.
	stamp := filepath.Join(b.Store.Dir, "obj", "amd64-release.stamp")
	text := readFileT(t, stamp)
	if err := os.WriteFile(stamp, []byte(strings.Replace(text, `"running": false`, `"running": true`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	check("an interrupted build", "was interrupted")
	check("after that", "")
	if err := os.WriteFile(stamp, []byte(strings.Replace(readFileT(t, stamp), `"linked": true`, `"linked": false`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	check("a stamp of a build that failed, or of an older program", "did not come to its end")
	if err := os.WriteFile(stamp, []byte(strings.Replace(readFileT(t, stamp), `"base": "`, `"base": "x`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	check("another base", "of another base")
	// An environment that is not the one of the builds before shows in the commands.
	j.Files = overlay("cflags", "-g")
	env := obj + ".env"
	data := readFileT(t, env)
	if !strings.Contains(data, `"KBUILD_CFLAGS=-O2 "`) {
		t.Fatalf("the environment is %s", data)
	}
	if err := os.WriteFile(env, []byte(strings.Replace(data, `"KBUILD_CFLAGS=-O2 "`, `"KBUILD_CFLAGS=-g"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	check("a wrong environment", "kernel/fork.o was made by another command than before")
}

// What makefiles name, by patterns as well.
func TestNamed(t *testing.T) {
	n := &named{map[string]bool{}, map[string]bool{}}
	n.add("lib/Makefile", []byte("$(obj)/a.h: $(src)/b.c c.o d.cpp $(wildcard $(srctree)/include/xen/xen*.h)\n\tcat x-?.S e.h.in"))
	n.add("drivers/x/Kbuild", []byte("src := $(wildcard $(src)/*.c)"))
	n.add("kernel/gen.sh", []byte("find . -name '*.h'"))
	n.add("Makefile", []byte("find . -name '*.h'"))
	for name, want := range map[string]string{"lib/a.h": "a.h", "x/b.c": "b.c", "lib/c.c": "", "lib/d.c": "", "include/xen/xen-mca.h": "xen*.h", "lib/x-1.S": "x-?.S", "lib/x-12.S": "",
		"include/e.h": "e.h", "drivers/x/y/z.h": "all files in drivers/x", "drivers/xy.c": "", "kernel/fork.c": ""} {
		if got := n.has(name); got != want {
			t.Errorf("has(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]bool{"Makefile": true, "fs/Kbuild": true, "lib/vdso/Makefile.include": true, "scripts/link.sh": true, "Documentation/Makefile": false,
		"tools/perf/Makefile": false, "tools/objtool/Makefile": true, "kernel/fork.c": false} {
		if got := isMakefile(name); got != want {
			t.Errorf("isMakefile(%q) = %v, want %v", name, got, want)
		}
	}
}

// A source whose makefile is not the known one, and a path that make would misunderstand.
func TestBuildNarrowUnknown(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"no rule", topRules[1], "", "it has no \"vmlinux.a: "},
		{"another rule", "scripts/Makefile.vmlinux\n", "scripts/Makefile.vmlinux X=1\n", "Makefile.vmlinux"},
	} {
		source := maps.Clone(narrowKernel)
		source["Makefile"] = strings.ReplaceAll(source["Makefile"], c.from, c.to)
		b, j := narrowBuilder(t, source)
		j.Files = overlay("kernel/fork.c", "int f;\n")
		if r := build(t, b, j); !strings.Contains(r.Wide, c.want) {
			t.Errorf("%s: make was asked for everything since %q, want %q", c.name, r.Wide, c.want)
		}
	}
}

// What a narrow make compiled and warned of before it failed is not compiled again by the whole one, and not forgotten.
func TestBuildNarrowFails(t *testing.T) {
	b, j := narrowBuilder(t, narrowKernel)
	// The narrow make compiles and then fails; the whole one has nothing left to compile.
	j.Files = overlay("kernel/fork.c", "#warning\nint f;\n")
	fail := filepath.Join(b.Store.Dir, "obj", "fail")
	path := filepath.SplitList(os.Getenv("PATH"))[0]
	script := strings.Replace(fakeKbuild, "  LD      vmlinux\"\n", "  LD      vmlinux\"\nif [ -n \"$narrow\" ]; then touch "+fail+"; exit 2; fi\n", 1)
	if err := os.WriteFile(filepath.Join(path, "make.narrow"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "make"), []byte("#!/bin/sh\nexec "+filepath.Join(path, "make.narrow")+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	build(t, b, j) // another make is another toolchain: from nothing
	j.Files = overlay("kernel/fork.c", "#warning\nint f2;\n")
	r := build(t, b, j)
	if !exists(fail) || r.Wide == "" || len(r.Warnings) != 1 || r.Warnings[0].File != "kernel/fork.c" {
		t.Errorf("make was asked for everything since %q, warnings %v; want the one of the make that failed", r.Wide, r.Warnings)
	}
	checkWhole(t, "failed", j, r)
}

// A narrow build that is stopped is stopped, and what it left is not believed.
func TestBuildNarrowStopped(t *testing.T) {
	b, j := narrowBuilder(t, with(narrowKernel, "fake.sh", "if [ -n \"$narrow\" ]; then : > kernel/fork.o; touch ../hanging; sleep 60 & wait; fi\n"))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	go func() {
		for !exists(filepath.Join(b.Store.Dir, "obj", "hanging")) {
			time.Sleep(5 * time.Millisecond)
		}
		cancel(stop)
	}()
	j.Files = overlay("kernel/fork.c", "int f;\n")
	if _, err := b.Build(ctx, j); !errors.Is(err, stop) {
		t.Errorf("Build = %v, want what stopped it", err)
	}
	j.Files = overlay("fake.sh", "", "kernel/audit/audit.c", "int a;\n")
	if r := build(t, b, j); r.Wide != "the last build in it was interrupted" || !strings.Contains(readFileT(t, r.Image), "int fork;") {
		t.Errorf("after that make was asked for everything since %q", r.Wide)
	}
}
