// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
)

const seriesDir = "../patches/task-watchers"

func spec(t testing.TB) *TableSpec {
	t.Helper()
	s, err := ReadTableSpec(filepath.Join(seriesDir, "table.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// added returns what the patches of a series add to a file: of each hunk, the runs of lines with a plus.
func added(t *testing.T, dir, file string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "[0-9]*.patch"))
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		in, text := false, ""
		for line := range strings.Lines(string(b)) {
			switch {
			case strings.HasPrefix(line, "+++ "):
				in = strings.TrimSpace(line) == "+++ b/"+file
			case strings.HasPrefix(line, "diff --git "):
				in = false
			case in && strings.HasPrefix(line, "+"):
				text += line[1:]
				continue
			}
			runs, text = append(runs, text), ""
		}
		runs = append(runs, text)
	}
	return runs
}

// TestSeriesText compares the series' own text with what is generated from its table's spec.
func TestSeriesText(t *testing.T) {
	if names, _ := filepath.Glob(filepath.Join(seriesDir, "0001-*.patch")); len(names) == 0 {
		need.Missing(t, seriesDir+" has no patches yet")
	}
	s := spec(t)
	header, err := s.Header()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"include/asm-generic/vmlinux.lds.h": s.VmlinuxScript(),
		"scripts/module.lds.S":              s.ModuleScript(),
		"include/linux/task_watchers.h":     header,
	} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			found, lines := 0, 0
			for _, run := range added(t, seriesDir, file) {
				found += strings.Count(run, want)
				lines += len(run)
			}
			if lines == 0 {
				need.Missing(t, "no patch in "+seriesDir+" touches "+file+" yet")
			}
			if found != 1 {
				t.Errorf("%s: the generated text stands %d times in what the patches add, want once:\n%s", file, found, want)
			}
		})
	}
}

// kernelHeaders are the few things of the kernel's headers that the generated text uses.
const kernelHeaders = `
typedef unsigned long long u64;
struct task_struct;
#define __used __attribute__((used))
#define __section(s) __attribute__((section(s)))
#define __same_type(a, b) __builtin_types_compatible_p(typeof(a), typeof(b))
#define static_assert(e) _Static_assert(e, #e)
#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)
#define ___PASTE(a, b) a##b
#define __PASTE(a, b) ___PASTE(a, b)
#define __UNIQUE_ID(p) __PASTE(__PASTE(p, _), __COUNTER__)
#define __ADDRESSABLE(sym) static void *__used __section(".discard.addressable") __UNIQUE_ID(sym) = (void *)&sym;
#define __KBUILD_MODNAME kmod_test
#define offset_to_ptr(off) ((void *)((unsigned long)(off) + *(off)))
`

const watchers = `
static int first(u64 val, struct task_struct *tsk) { return 0; }
static int second(u64 val, struct task_struct *tsk) { return 1; }
int third(u64 val, struct task_struct *tsk);
task_watcher(init, second);
task_watcher_level(init, first, 3);
task_watcher(init, third);
task_watcher(exit, second);
int sum(void);
int sum(void)
{
	const struct task_watcher_entry *e;
	int n = 0;

	for (e = __start_task_watchers_init; e < __stop_task_watchers_init; e++)
		n += task_watcher_from_entry(e)(0, 0);
	return n;
}
`

// options are the kernel configurations that the header distinguishes.
var options = map[string][]string{
	"relative":      {"-DCONFIG_64BIT", "-DCONFIG_HAVE_ARCH_PREL32_RELOCATIONS"},
	"absolute":      {"-DCONFIG_64BIT"},
	"relative, LTO": {"-DCONFIG_64BIT", "-DCONFIG_HAVE_ARCH_PREL32_RELOCATIONS", "-DCONFIG_LTO_CLANG"},
	"absolute, PIE": {"-DCONFIG_64BIT", "-fPIE"},
}

func (a abi) watchers(t *testing.T, text string, flags ...string) (string, error) {
	t.Helper()
	header, err := spec(t).Header()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "w.c"), filepath.Join(dir, "w.o")
	if err := os.WriteFile(src, []byte(kernelHeaders+header+text), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-std=gnu11", "-O2", "-fno-pie", "-Wall", "-Wno-unused", "-Werror", "-c", "-o", out, src}, a.flags...)
	return out, run.Cmd{Name: a.cc, Args: append(args, flags...)}.Run(context.Background())
}

// TestHeader compiles the generated text for every ABI and wants sections that are read-only, in the order of levels when
// they are sorted by name.
func TestHeader(t *testing.T) {
	for _, a := range abis {
		t.Run(a.name, func(t *testing.T) {
			need.Tool(t, a.cc)
			for name, flags := range options {
				out, err := a.watchers(t, watchers, flags...)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				size := uint64(8)
				if strings.Contains(name, "relative") {
					size = 4
				}
				for section, n := range map[string]uint64{".task_watchers.init.3": 1, ".task_watchers.init.5": 2, ".task_watchers.exit.5": 1} {
					x, err := Explain(context.Background(), out, section, Inputs{})
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if x.Verdict != ReadOnly || x.Section.Size != n*size || x.Inputs[0].Relocs.total() != int(n) {
						t.Errorf("%s: %s is %s with %d bytes and relocations %v, want read-only, %d and %d",
							name, section, x.Verdict, x.Section.Size, x.Inputs[0].Relocs, n*size, n)
					}
					if want := `assembly with the flags "a"`; !strings.HasPrefix(x.Inputs[0].Form, want) {
						t.Errorf("%s: form %q, want %q", name, x.Inputs[0].Form, want)
					}
				}
			}
		})
	}
}

// TestHeaderRefuses wants that what no table would take in does not compile.
func TestHeaderRefuses(t *testing.T) {
	need.Tool(t, "gcc")
	for name, text := range map[string]string{
		"no such event":   "static int f(u64 v, struct task_struct *t) { return 0; }\ntask_watcher(inti, f);\n",
		"another type":    "static int f(int v, struct task_struct *t) { return 0; }\ntask_watcher(init, f);\n",
		"level too high":  "static int f(u64 v, struct task_struct *t) { return 0; }\ntask_watcher_level(init, f, 10);\n",
		"level of a name": "enum { LATE = 7 };\nstatic int f(u64 v, struct task_struct *t) { return 0; }\ntask_watcher_level(init, f, LATE);\n",
		"level below 0":   "static int f(u64 v, struct task_struct *t) { return 0; }\ntask_watcher_level(init, f, -1);\n",
	} {
		if _, err := abis[0].watchers(t, text, options["relative"]...); err == nil {
			t.Errorf("%s: compiles", name)
		}
	}
	if _, err := abis[0].watchers(t, watchers, options["relative"]...); err != nil {
		t.Errorf("what is right does not compile: %v", err)
	}
}

func TestSpecRefused(t *testing.T) {
	good, err := os.ReadFile(filepath.Join(seriesDir, "table.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{`name = "task_watchers"`, `name = "task watchers"`, `name "task watchers" is not a C identifier`},
		{`name = "task_watchers"`, `nmae = "task_watchers"`, `unknown key "nmae"`},
		{`name = "task_watchers"`, `name = 3`, `table.toml:4: `},
		{`"clone"`, `"init"`, `event "init" is there twice`},
		{`"clone"`, `"clone;"`, `event "clone;" is not a C identifier`},
		{`result = "int"`, `result = "void"`, `entry.result "void"`},
		{`"u64 val"`, `"u64"`, `parameter "u64"`},
		{`"u64 val"`, `"u64 val) { panic(0); } int x(int y"`, `is not a C type with a name`},
		{`see <linux`, `*/ see <linux`, `title `},
	} {
		if n := strings.Count(string(good), tt.old); n < 1 {
			t.Fatalf("%q is not in the spec", tt.old)
		}
		_, err := ParseTableSpec("table.toml", []byte(strings.Replace(string(good), tt.old, tt.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "table.toml") {
			t.Errorf("%s: error %v, want one of table.toml with %q", tt.new, err, tt.want)
		}
	}
}
