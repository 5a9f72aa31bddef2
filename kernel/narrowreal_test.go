// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/patches"
)

// TestNarrowReal changes files of a real kernel, one after the other, and builds it with and without a look at all folders:
// each time both give the same vmlinux, byte for byte, and what has to take the long way does.
func TestNarrowReal(t *testing.T) {
	need.Long(t)
	spec := needBuild(t)
	s := makeDiskStore(t, "work")
	j := realJob(t, s, spec)
	files := map[string]*patches.File{}
	add := func(name, text string) {
		files[name] = &patches.File{Data: []byte(readFileT(t, filepath.Join(j.Source.Dir, name)) + "\n" + text + "\n"), Mode: 0o644}
	}
	// make builds in a folder of its own, as if nothing were known.
	make := func(b *Builder, folder string) (*Build, string) {
		t.Helper()
		k := j
		k.Files, k.Config = files, folder
		r := build(t, b, k)
		sum := sum(t, r)
		if err := s.Cache.Remove("build", r.ID); err != nil || r.Cached {
			t.Fatalf("cached %v, %v", r.Cached, err)
		}
		return r, sum
	}
	// once is for a header, which is included more than once, and has its guard before what is added.
	once := func(text string) string { return "#ifndef SERIES_ONCE\n#define SERIES_ONCE\n" + text + "\n#endif" }
	last := ""
	for _, step := range []struct {
		name    string
		change  func()
		folders string // that make is asked for; "" means all, "*" some
		wide    string // a part of why all
		same    bool   // the kernel is that of the step before
	}{
		{"the base", func() {}, "", "no stamp", false},
		{"a C file", func() { add("kernel/fork.c", "int series_fork;") }, "kernel", "", false},
		{"files in three folders", func() {
			add("kernel/fork.c", "int series_fork[2];")
			add("fs/open.c", "int series_open;")
			add("mm/mmap.c", "int series_mmap(void); int series_mmap(void) { return __LINE__; }")
		}, "fs kernel mm", "", false},
		{"a folder's own header", func() {
			add("kernel/sched/sched.h", once("static int __maybe_unused series_sched(void) { return 1; }"))
		}, "kernel/sched", "", true},
		{"a header of several", func() { add("include/linux/fs_struct.h", once("static const int __used series_fs = 1;")) }, "*", "", false},
		{"assembler", func() { add("arch/x86/entry/entry_64.S", "\t.section .text\nseries_entry:\n\tret") }, "arch/x86/entry", "", false},
		{"all of it back but one", func() { clear(files); add("kernel/fork.c", "int series_fork[3];") }, "*", "", false},
		{"a header that offsets are made of", func() { add("include/linux/sched.h", "extern int series_sched2;") }, "", "has a say in", true},
		{"the linker script's", func() { add("include/asm-generic/vmlinux.lds.h", "/* longer */") }, "", "linker's script", true},
		{"these back, and the vDSO's", func() { clear(files); add("lib/vdso/gettimeofday.c", "/* longer */") }, "", "linker's script", false},
		{"the vDSO's", func() { add("lib/vdso/gettimeofday.c", "/* longer still */") }, "", "names gettimeofday.c", true},
		{"another", func() { add("kernel/exit.c", "int series_exit;") }, "kernel", "", false},
		{"back to the base", func() { clear(files) }, "", "names gettimeofday.c", false},
	} {
		step.change()
		narrow, got := make(&Builder{Store: s}, "narrow")
		whole, want := make(&Builder{Store: s, Wide: true}, "wide")
		t.Logf("%s: %q since %q, %d objects in %.1f s; else %.1f s", step.name, narrow.Folders, narrow.Wide, narrow.Objects, narrow.Seconds, whole.Seconds)
		if got != want {
			t.Errorf("%s: vmlinux is %s, want %s", step.name, got, want)
		}
		if step.same != (got == last) {
			t.Errorf("%s: the kernel of the step before: %v, want %v", step.name, got == last, step.same)
		}
		folders := strings.Join(narrow.Folders, " ")
		if !strings.Contains(narrow.Wide, step.wide) || (narrow.Wide == "") != (step.wide == "") || step.folders != "*" && folders != step.folders {
			t.Errorf("%s: make was asked for %q since %q, want %q since %q", step.name, folders, narrow.Wide, step.folders, step.wide)
		}
		last = got
	}
}
