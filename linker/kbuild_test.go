// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
)

// boundedSection is BOUNDED_SECTION_BY of include/asm-generic/vmlinux.lds.h, in fewer words.
const boundedSection = `
#define BOUNDED_SECTION_BY(_sec_, _label_) __start##_label_ = .; KEEP(*(_sec_)) __stop##_label_ = .;
#define LOAD_OFFSET 0
#define RO_TABLE \
`

// scriptFrame is a small vmlinux.lds.S around the generated lines.
const scriptFrame = `
SECTIONS
{
	. = 0x10000000;
	.text : { *(.text .text.*) }
	. = ALIGN(0x1000);
	__start_rodata = .;
	.rodata : { *(.rodata .rodata.*) }
	RO_TABLE
	.notes : { *(.note.gnu.build-id) }
	. = ALIGN(0x1000);
	__end_rodata = .;
	.data : { *(.data .data.*) }
	/DISCARD/ : { *(.discard .discard.*) *(.comment) *(.note.GNU-stack) *(.eh_frame) }
}
`

// The objects of a small kernel: the walk over the table with two watchers, one with another, and in a library one that
// is asked for and one that nobody asks for, which would make the table writable.
var kernelSources = map[string]string{
	"kernel/walk.c": watchers + "int helper(void);\nvoid _start(void) { sum(); helper(); }\n",
	"kernel/more.c": "int third(u64 val, struct task_struct *tsk);\nint third(u64 val, struct task_struct *tsk) { return 3; }\n" +
		"task_watcher_level(init, third, 1);\n",
	"lib/helper.c": "int helper(void);\nint helper(void) { return 4; }\nstatic int h(u64 v, struct task_struct *t) { return 0; }\ntask_watcher(free, h);\n",
	"lib/unused.c": "int unused(void);\nint unused(void) { return 5; }\n" + badEntry("unused_entry", "init.5"),
}

// badEntry is the macro of 2006 in short: a pointer that is not const.
func badEntry(name, section string) string {
	return "static int f_" + name + "(u64 v, struct task_struct *t) { return 0; }\n" +
		"static task_watcher_t " + name + " __used __section(\".task_watchers." + section + "\") = f_" + name + ";\n"
}

// buildKernel lays out a folder as kbuild does, and links vmlinux in two steps. extra are sources beside kernelSources.
func buildKernel(t *testing.T, extra map[string]string) (dir string) {
	t.Helper()
	for _, tool := range []string{"gcc", "ld", "ar"} {
		need.Tool(t, tool)
	}
	dir = t.TempDir()
	s := spec(t)
	header, err := s.Header()
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do := func(name string, args ...string) {
		t.Helper()
		if err := (run.Cmd{Name: name, Args: args, Dir: dir}).Run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	objects := map[bool][]string{}
	for _, sources := range []map[string]string{kernelSources, extra} {
		for name, text := range sources {
			obj := strings.TrimSuffix(name, ".c") + ".o"
			put(name, kernelHeaders+header+text)
			do("gcc", "-std=gnu11", "-O2", "-fno-pie", "-fno-asynchronous-unwind-tables", "-DCONFIG_64BIT", "-c", "-o", obj, name)
			lib := strings.HasPrefix(name, "lib/")
			objects[lib] = append(objects[lib], obj)
		}
	}
	do("ar", append([]string{"cDPrST", "vmlinux.a"}, objects[false]...)...)
	do("ar", append([]string{"cDPrsT", "lib/lib.a"}, objects[true]...)...)
	link := []string{"-r", "-o", "vmlinux.o", "--whole-archive", "vmlinux.a", "--no-whole-archive", "--start-group", "lib/lib.a", "--end-group"}
	put(".vmlinux.o.cmd", "savedcmd_vmlinux.o := ld "+strings.Join(link, " ")+"\n")
	do("ld", link...)
	put("vmlinux.lds.S", boundedSection+s.VmlinuxScript()+"\n"+scriptFrame)
	put("arch/x86/kernel/empty", "")
	do("gcc", "-E", "-P", "-x", "c", "-o", "arch/x86/kernel/vmlinux.lds", "vmlinux.lds.S")
	do("ld", "--build-id=sha1", "-T", "arch/x86/kernel/vmlinux.lds", "-o", "vmlinux", "vmlinux.o")
	return dir
}

func objectsOf(x *Explanation) string {
	var all []string
	for _, in := range x.Inputs {
		all = append(all, in.Object+":"+in.Section)
	}
	return strings.Join(all, " ")
}

func explainKernel(t *testing.T, dir string, in Inputs) *Explanation {
	t.Helper()
	x, err := Explain(context.Background(), filepath.Join(dir, "vmlinux"), ".task_watchers", in)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestKernel explains the table of a small kernel, which is made of the generated lines and macros alone.
func TestKernel(t *testing.T) {
	dir := buildKernel(t, nil)
	x := explainKernel(t, dir, Inputs{Dir: dir})
	if bad := failed(x.Proofs()); x.Verdict != ReadOnly || len(bad) > 0 {
		t.Errorf("verdict %s, failed proofs %q, want read-only and none: %+v", x.Verdict, bad, x)
	}
	if c := x.Control(); c.Pass || !strings.Contains(c.Detail, "found read-only, want writable") {
		t.Errorf("as a control of what is writable: %+v", c)
	}
	if x.InputsBytes != int64(x.Section.Size) || x.Section.Size != 6*8 {
		t.Errorf("%d bytes of inputs, section of %d, want 48: %s", x.InputsBytes, x.Section.Size, objectsOf(x))
	}
	got := objectsOf(x)
	for _, want := range []string{"kernel/walk.o:.task_watchers.init.3", "kernel/more.o:.task_watchers.init.1", "lib/helper.o:.task_watchers.free.5"} {
		if !strings.Contains(got, want) {
			t.Errorf("inputs are %s, want %s among them", got, want)
		}
	}
	if strings.Contains(got, "unused.o") {
		t.Errorf("inputs are %s: nobody asked the library for unused.o", got)
	}
}

// TestNegativeControl puts an entry that is not const into one object of the kernel: the proofs fail and name it.
func TestNegativeControl(t *testing.T) {
	dir := buildKernel(t, map[string]string{"drivers/bad.c": badEntry("entry", "init.5")})
	x := explainKernel(t, dir, Inputs{Dir: dir})
	bad := strings.Join(failed(x.Proofs()), ", ")
	if want := "section .task_watchers: flags, section .task_watchers: inputs"; x.Verdict != Writable || bad != want {
		t.Errorf("verdict %s, failed proofs %q, want writable and %q", x.Verdict, bad, want)
	}
	if c := x.Control(); !c.Pass || !strings.Contains(c.Detail, "writable, as it has to be: drivers/bad.o brings") {
		t.Errorf("as a control of what is writable: %+v", c)
	}
	why := strings.Join(x.Why, "\n")
	if !strings.Contains(why, "drivers/bad.o brings .task_watchers.init.5 with flags WA: an object that is not const") {
		t.Errorf("why does not name drivers/bad.o and the form of its entry:\n%s", why)
	}
	if strings.Contains(why, "walk.o") || strings.Contains(why, "unused.o") {
		t.Errorf("why names what is innocent:\n%s", why)
	}
	for _, p := range x.Proofs() {
		if p.Name == "section .task_watchers: inputs" && !strings.Contains(p.Detail, "drivers/bad.o") {
			t.Errorf("proof does not name drivers/bad.o: %s", p.Detail)
		}
	}
}

// TestOtherBuild gives the folder of another build, and one that is broken: nothing is said about inputs.
func TestOtherBuild(t *testing.T) {
	dir := buildKernel(t, nil)
	other := buildKernel(t, map[string]string{"drivers/bad.c": badEntry("entry", "init.5")})
	for name, in := range map[string]Inputs{
		"those of another build":  {Dir: other},
		"there is no":             {Dir: t.TempDir()},
		"input objects are not k": {},
	} {
		x := explainKernel(t, dir, in)
		if !strings.Contains(x.InputsAbsent, name) || len(x.Inputs) > 0 {
			t.Errorf("inputs are absent because %q, want %q", x.InputsAbsent, name)
		}
		if p := x.Proofs()[0]; !strings.Contains(p.Detail, "inputs not looked at: "+x.InputsAbsent) {
			t.Errorf("%s: proof %+v does not say that the inputs were not seen", name, p)
		}
		for _, p := range x.Proofs() {
			if strings.HasSuffix(p.Name, "inputs") {
				t.Errorf("%s: a proof about inputs, which were not seen: %+v", name, p)
			}
		}
	}
	more := filepath.Join(dir, "kernel/more.o")
	object, err := os.ReadFile(more)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour) // a later build would have made them newer
	put := func(name string, b []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, b, 0o644), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	put("kernel/more.o", []byte(bitcode+"..."))
	if x := explainKernel(t, dir, Inputs{Dir: dir}); !strings.Contains(x.InputsAbsent, "kernel/more.o: LLVM bitcode") || len(x.Inputs) > 0 {
		t.Errorf("with bitcode inputs are absent because %q, and %d are there", x.InputsAbsent, len(x.Inputs))
	}
	put("kernel/more.o", object)
	walk, err := os.ReadFile(filepath.Join(dir, "kernel/walk.o"))
	if err != nil {
		t.Fatal(err)
	}
	put("kernel/walk.o", walk[:500])
	if x, err := Explain(context.Background(), filepath.Join(dir, "vmlinux"), ".task_watchers", Inputs{Dir: dir}); err == nil {
		t.Errorf("with a truncated object: verdict %s, want an error", x.Verdict)
	} else if !strings.Contains(err.Error(), "kernel/walk.o") {
		t.Errorf("error %v does not name the object", err)
	}
}

// TestBrokenOff looks at a kernel whose folder a later build has begun to change.
func TestBrokenOff(t *testing.T) {
	dir := buildKernel(t, nil)
	more := filepath.Join(dir, "kernel/more.o")
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(more, later, later); err != nil {
		t.Fatal(err)
	}
	if x := explainKernel(t, dir, Inputs{Dir: dir}); !strings.Contains(x.InputsAbsent, "kernel/more.o is newer than") || len(x.Inputs) > 0 {
		t.Errorf("with a newer object inputs are absent because %q, and %d are there", x.InputsAbsent, len(x.Inputs))
	}
	if err := os.Remove(more); err != nil {
		t.Fatal(err)
	}
	if x := explainKernel(t, dir, Inputs{Dir: dir}); !strings.Contains(x.InputsAbsent, "kernel/more.o, which ") || len(x.Inputs) > 0 {
		t.Errorf("without an object inputs are absent because %q, and %d are there", x.InputsAbsent, len(x.Inputs))
	}
}

// TestModule explains a section of a module that is linked as kbuild links one.
func TestModule(t *testing.T) {
	dir := buildKernel(t, nil)
	s := spec(t)
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do := func(name string, args ...string) {
		t.Helper()
		if err := (run.Cmd{Name: name, Args: args, Dir: dir}).Run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	header, err := s.Header()
	if err != nil {
		t.Fatal(err)
	}
	write("scripts/module.lds", "SECTIONS {\n"+s.ModuleScript()+"}\n")
	write("samples/tw/tw.mod", "samples/tw/a.o\nsamples/tw/b.o\n")
	write("samples/tw/tw.mod.c", "char this_module[8] __attribute__((section(\".gnu.linkonce.this_module\")));\n")
	for name, text := range map[string]string{
		"a": "static int a(u64 v, struct task_struct *t) { return 0; }\ntask_watcher(init, a);\ntask_watcher(exit, a);\n",
		"b": badEntry("entry", "exit.5"),
	} {
		write("samples/tw/"+name+".c", kernelHeaders+header+text)
	}
	for _, name := range []string{"a", "b", "tw.mod"} {
		do("gcc", "-O2", "-fno-pie", "-DCONFIG_64BIT", "-c", "-o", "samples/tw/"+name+".o", "samples/tw/"+name+".c")
	}
	do("ld", "-r", "-o", "samples/tw/tw.o", "samples/tw/a.o", "samples/tw/b.o")
	do("ld", "-r", "--build-id=sha1", "-T", "scripts/module.lds", "-o", "samples/tw/tw.ko", "samples/tw/tw.o", "samples/tw/tw.mod.o")
	// Where the cache of builds keeps it: the folder knows the end of its path.
	do("mkdir", "-p", "kept/modules/samples/tw")
	do("cp", "samples/tw/tw.ko", "kept/modules/samples/tw/tw.ko")
	ko := filepath.Join(dir, "kept/modules/samples/tw/tw.ko")
	for section, want := range map[string]Verdict{".task_watchers.init": ReadOnly, ".task_watchers.exit": Writable} {
		x, err := Explain(context.Background(), ko, section, Inputs{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		why := strings.Join(x.Why, "\n")
		if x.Kind != kindModule || x.Verdict != want || x.InputsAbsent != "" {
			t.Errorf("%s: %s, %s, inputs absent %q, want a module, %s, inputs: %s", section, x.Kind, x.Verdict, x.InputsAbsent, want, why)
		}
		if named := strings.Contains(why, "samples/tw/b.o brings .task_watchers.exit.5"); named != (want == Writable) {
			t.Errorf("%s: samples/tw/b.o is named: %t:\n%s", section, named, why)
		}
	}
}
