// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parseLog(text string) *logParser {
	p := newLogParser("/w/tree/amd64", "/w/obj/amd64-x")
	// In pieces, as a pipe gives it.
	for len(text) > 0 {
		n := min(7, len(text))
		p.Write([]byte(text[:n]))
		text = text[n:]
	}
	p.end()
	return p
}

func TestDiagnostics(t *testing.T) {
	for text, want := range map[string][]Diagnostic{
		"../../tree/amd64/kernel/fork.c:12:3: warning: unused variable ‘x’ [-Wunused-variable]":                                                       {{"kernel/fork.c", 12, "warning", "unused variable ‘x’", "-Wunused-variable"}},
		"/w/tree/amd64/kernel/fork.c:12:3: error: expected ‘;’ before ‘}’ token":                                                                      {{"kernel/fork.c", 12, "error", "expected ‘;’ before ‘}’ token", ""}},
		"/w/tree/amd64/kernel/fork.c:12:3: error: unused variable ‘x’ [-Werror=unused-variable]":                                                      {{"kernel/fork.c", 12, "error", "unused variable ‘x’", "-Werror=unused-variable"}},
		"/w/tree/amd64/init/main.c:3:10: fatal error: linux/no.h: No such file or directory":                                                          {{"init/main.c", 3, "error", "linux/no.h: No such file or directory", ""}},
		"<stdin>:1565:2: warning: #warning syscall futex_wake not implemented [-Wcpp]":                                                                {{"<stdin>", 1565, "warning", "#warning syscall futex_wake not implemented", "-Wcpp"}},
		"./include/generated/x.h:1:1: warning: x":                                                                                                     {{"include/generated/x.h", 1, "warning", "x", ""}},
		"/w/tree/amd64/arch/x86/lib/memcpy_64.S: Assembler messages:\n/w/tree/amd64/arch/x86/lib/memcpy_64.S:30: Error: no such instruction: `movzz'": {{"arch/x86/lib/memcpy_64.S", 30, "error", "no such instruction: `movzz'", ""}},
		"ld: kernel/fork.o: in function `copy_process':\nfork.c:(.text+0x1f2): undefined reference to `no_such'":                                      {{"fork.c", 0, "error", "undefined reference to `no_such'", ""}},
		"powerpc64-linux-gnu-ld: kernel/fork.o:(.data+0x8): undefined reference to `no_such'":                                                         {{"kernel/fork.o", 0, "error", "undefined reference to `no_such'", ""}},
		"ld: /w/tree/amd64/kernel/fork.c:12: undefined reference to `no_such'":                                                                        {{"kernel/fork.c", 12, "error", "undefined reference to `no_such'", ""}},
		"ld: warning: orphan section `.x' from `kernel/fork.o' being placed in section `.x'":                                                          {{"", 0, "warning", "orphan section `.x' from `kernel/fork.o' being placed in section `.x'", ""}},
		"ld:./arch/x86/kernel/vmlinux.lds:120: syntax error":                                                                                          {},
		"ld: ./arch/x86/kernel/vmlinux.lds:120: syntax error":                                                                                         {{"arch/x86/kernel/vmlinux.lds", 120, "error", "syntax error", ""}},
		"ld: kernel/a.o: multiple definition of `f'; kernel/b.o: first defined here":                                                                  {{"", 0, "error", "kernel/a.o: multiple definition of `f'; kernel/b.o: first defined here", ""}},
		"WARNING: modpost: vmlinux: section mismatch in reference: f (section: .text) -> g (section: .init.text)":                                     {{"", 0, "warning", "vmlinux: section mismatch in reference: f (section: .text) -> g (section: .init.text)", ""}},
		`ERROR: modpost: "no_such" [fs/x.ko] undefined!`:                                                                                              {{"", 0, "error", `"no_such" [fs/x.ko] undefined!`, ""}},
		"vmlinux.o: warning: objtool: f+0x12: call without frame pointer save/setup":                                                                  {{"vmlinux.o", 0, "warning", "objtool: f+0x12: call without frame pointer save/setup", ""}},
		"kernel/Kconfig.audit:3: syntax error":                                                                                                        {{"kernel/Kconfig.audit", 3, "error", "syntax error", ""}},
		"arch/x86/Kconfig:10:warning: 'X': number is invalid":                                                                                         {{"arch/x86/Kconfig", 10, "warning", "'X': number is invalid", ""}},
		"make[3]: *** [/w/tree/amd64/scripts/Makefile.build:229: kernel/fork.o] Error 1":                                                              {},
		"scripts/Makefile.build:41: *** missing separator.  Stop.":                                                                                    {{"scripts/Makefile.build", 41, "error", "missing separator.", ""}},
		"/bin/sh: 1: bc: not found":                                                                        {{"", 0, "error", "bc: not found", ""}},
		"cc1: all warnings being treated as errors":                                                        {},
		"cc1: error: bad value (‘x’) for ‘-mtune=’ switch":                                                 {{"", 0, "error", "bad value (‘x’) for ‘-mtune=’ switch", ""}},
		"/w/tree/amd64/kernel/fork.c:12:3: note: each undeclared identifier is reported only once":         {},
		"/w/tree/amd64/kernel/fork.c: In function ‘f’:":                                                    {},
		"  CC      lib/error.o\n  HOSTCC  scripts/warning.o\nmake[1]: Entering directory '/w/obj/amd64-x'": {},
		"  314 |         int warning: 3;\n      |             ^~~~~~~":                                     {},
		"a.c:1:1: warning: x [-Wx]\na.c:1:1: warning: x [-Wx]\na.c:2:1: warning: x [-Wx]":                  {{"a.c", 1, "warning", "x", "-Wx"}, {"a.c", 2, "warning", "x", "-Wx"}},
	} {
		p := parseLog(text + "\n")
		got := append([]Diagnostic{}, p.errors...)
		for _, c := range p.warnings {
			got = append(got, c.Diagnostic)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: -want +got\n%s", text, d)
		}
	}
}

func TestFailure(t *testing.T) {
	cause := errors.New("make: exit status 2")
	for text, want := range map[string]string{
		"a.c:1:1: error: x\nb.c:2:1: error: y\nmake: *** [Makefile:3: vmlinux] Error 2\n":         "build: a.c:1: error: x (and 1 more); log: L",
		"make[1]: *** No rule to make target 'x.o', needed by 'y.a'.  Stop.\n":                    "build: error: No rule to make target 'x.o', needed by 'y.a'.; log: L",
		"make[2]: *** [scripts/Makefile.build:5: k.o] Error 1\nmake: *** [Makefile:3: k] Error 2": "build: scripts/Makefile.build:5: error: making k.o failed: Error 1 (and 1 more); log: L",
		"": "build: make: exit status 2; log: L",
	} {
		err := parseLog(text).failure("build", "L", cause)
		var be *BuildError
		if !errors.As(err, &be) || err.Error() != want || !errors.Is(err, cause) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	// The machine's fault, not the source's.
	for _, text := range []string{
		"a.c:1:1: error: x\nfatal error: error writing to /tmp/x.s: No space left on device\n",
		"gcc: fatal error: Killed signal terminated program cc1\n",
		"scripts/sign-file.c:25:10: fatal error: openssl/opensslv.h: No such file or directory\n",
		"tools/objtool/elf.h:9:10: fatal error: gelf.h: No such file or directory\n",
	} {
		err := parseLog(text).failure("build", "L", cause)
		if errors.As(err, new(*BuildError)) || !errors.Is(err, cause) {
			t.Errorf("%q: %v, want no BuildError", text, err)
		}
		if strings.Contains(text, "gelf.h") && !strings.Contains(err.Error(), "apt-get install libelf-dev") {
			t.Errorf("%q: %v, want the package", text, err)
		}
	}
	for text, want := range map[string]bool{"make[1]: *** [M:5: k.o] Error 1\n": false, "make[1]: *** [M:5: k.o] Error 137\n": true, "make: *** [M:5: k.o] Killed\n": true, "make: *** [M:5: k] Error 2\n": false} {
		if got := parseLog(text).killed; got != want {
			t.Errorf("%q: killed = %v, want %v", text, got, want)
		}
	}
}

func TestNewWarnings(t *testing.T) {
	w := func(line int, msg string) Diagnostic { return Diagnostic{"a.c", line, "warning", msg, "-W"} }
	before := []Diagnostic{w(1, "x"), w(2, "x"), w(3, "y")}
	after := []Diagnostic{w(11, "x"), w(12, "x"), w(13, "x"), w(20, "z")}
	want := []Diagnostic{w(13, "x"), w(20, "z")}
	if d := cmp.Diff(want, NewWarnings(before, after)); d != "" {
		t.Errorf("NewWarnings: -want +got\n%s", d)
	}
	if got := NewWarnings(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("NewWarnings(nil, nil) = %#v, want an empty list, which JSON writes as []", got)
	}
}

// Warnings of files that were not compiled again are still the kernel's.
func TestCarry(t *testing.T) {
	first := parseLog("  CC      kernel/a.o\nkernel/a.c:1:1: warning: in a\n  CC      kernel/b.o\nIn file included from ../../tree/amd64/kernel/b.c:3:\n" +
		"../../tree/amd64/include/h.h:5:1: warning: in h\nkernel/b.c:9:1: warning: in b\nld: warning: of ld\n").carry(nil)
	if len(first) != 4 {
		t.Fatalf("first build: %v", first)
	}
	messages := func(cs []carried) (s string) {
		for _, c := range cs {
			s += c.Message + ";"
		}
		return s
	}
	for text, want := range map[string]string{
		"":                       "in a;in h;in b;",
		"  CC      kernel/a.o\n": "in h;in b;",
		"  CC      kernel/b.o\n": "in a;",
		"  CC      kernel/b.o\nkernel/b.c:10:1: warning: in b\n": "in b;in a;",
		"  LD      vmlinux\nld: warning: of ld\n":                "of ld;in a;in h;in b;",
		"  CC      other/b.o\nkernel/a.c:1:1: warning: in a\n":   "in a;in h;in b;",
	} {
		if got := messages(parseLog(text).carry(first)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// So are those of objtool, which it says of an object: of a file's until that is compiled again, of vmlinux.o until that is linked.
func TestCarryObjtool(t *testing.T) {
	first := parseLog("  CC      kernel/a.o\nkernel/a.o: warning: objtool: f+0x1: in a\n  CC      kernel/b.o\n  LD      vmlinux.o\n" +
		"vmlinux.o: warning: objtool: g+0x2: in vmlinux\n").carry(nil)
	if len(first) != 2 {
		t.Fatalf("first build: %v", first)
	}
	for text, want := range map[string][]string{
		"":                       {"kernel/a.o", "vmlinux.o"},
		"  CC      kernel/b.o\n": {"kernel/a.o", "vmlinux.o"},
		"  CC      kernel/b.o\n  LD      vmlinux.o\n":                                                 {"kernel/a.o"},
		"  CC      kernel/a.o\n  LD      vmlinux.o\nvmlinux.o: warning: objtool: g+0x2: in vmlinux\n": {"vmlinux.o"},
		"  CC      kernel/a.o\nkernel/a.o: warning: objtool: f+0x1: in a\n":                           {"kernel/a.o", "vmlinux.o"},
	} {
		var got []string
		for _, c := range parseLog(text).carry(first) {
			got = append(got, c.File)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: of %q, want of %q", text, got, want)
		}
	}
}

func FuzzDiagnostics(f *testing.F) {
	f.Add("a.c:1:1: warning: x [-Wx]\nmake: *** [M:5: k.o] Error 1\nld: x:1: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		p := parseLog(text)
		p.carry(p.warnings)
		if err := p.failure("x", "L", errors.New("y")); err == nil || err.Error() == "" {
			t.Error("failure without a word")
		}
	})
}
