// SPDX-License-Identifier: Apache-2.0

package kconfig

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
)

func TestParse(t *testing.T) {
	const text = "# a comment\n\nCONFIG_B=y\n# CONFIG_A is not set\nCONFIG_N=8  \nCONFIG_H=0x1f\nCONFIG_S=\"a \\\"b\\\" # c\"\nCONFIG_B=y\n"
	f, err := Parse(strings.NewReader(text), "x.config")
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{{"B", "y", "x.config", 3}, {"A", "n", "x.config", 4}, {"N", "8", "x.config", 5}, {"H", "0x1f", "x.config", 6}, {"S", `"a \"b\" # c"`, "x.config", 7}}
	if d := cmp.Diff(want, f.Settings); d != "" {
		t.Errorf("Parse: -want +got\n%s", d)
	}
	wantBytes := "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_H=0x1f\nCONFIG_N=8\nCONFIG_S=\"a \\\"b\\\" # c\"\n"
	if got := string(f.Bytes()); got != wantBytes {
		t.Errorf("Bytes() = %q, want %q", got, wantBytes)
	}
	again, err := Parse(bytes.NewReader(f.Bytes()), "again")
	if err != nil || !bytes.Equal(again.Bytes(), f.Bytes()) {
		t.Errorf("Parse(Bytes()).Bytes() = %q, %v", again.Bytes(), err)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"CONFIG_A=y\nFOO=y\n":                     `f:2: "FOO=y" is neither`,
		"CONFIG_A=yes\n":                          `f:1: CONFIG_A: "yes" is neither`,
		"CONFIG_A=\n":                             `f:1: CONFIG_A: "" is neither`,
		"CONFIG_A=\"x\n":                          `f:1: CONFIG_A: "\"x" is neither`,
		"CONFIG_A=y\r\n":                          "f:1: line ends in CR LF",
		"CONFIG_A=y\n# CONFIG_A is not set\n":     `f:2: "# CONFIG_A is not set", but line 1 has "CONFIG_A=y"`,
		"#CONFIG_A is not set\n":                  `write "# CONFIG_A is not set"`,
		"# CONFIG_A is not Set\n":                 `write "# CONFIG_A is not set"`,
		" CONFIG_A=y\n":                           `f:1: " CONFIG_A=y" is neither`,
		"CONFIG_A = y\n":                          "is neither",
		"CONFIG_B=y\n\n\nCONFIG_LONG=1\nx\x00y\n": "f:5:",
	} {
		_, err := Parse(strings.NewReader(text), "f")
		var se *SyntaxError
		if !errors.As(err, &se) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, want a SyntaxError with %q", text, err, want)
		}
	}
}

func TestMerge(t *testing.T) {
	a, _ := Parse(strings.NewReader("CONFIG_A=y\nCONFIG_B=1\n"), "a")
	b, _ := Parse(strings.NewReader("CONFIG_B=2\nCONFIG_C=m\n"), "b")
	got := Merge(a, b).Settings
	want := []Setting{{"A", "y", "a", 1}, {"B", "2", "b", 1}, {"C", "m", "b", 2}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Merge: -want +got\n%s", d)
	}
	if ab, ba := Merge(a, b).Bytes(), Merge(b, a).Bytes(); bytes.Equal(ab, ba) {
		t.Errorf("Merge(a, b) and Merge(b, a) are alike: %q", ab)
	}
}

// tree is a small set of Kconfig files with each way in which a symbol can get lost.
var tree = fstest.MapFS{
	"Kconfig": {Data: []byte(`# top
mainmenu "Linux/$(ARCH) Kernel Configuration"
cc-has-x := $(success,$(CC) -mx "a)b")
dir := lib
source "arch/$(SRCARCH)/Kconfig"
source "init/Kconfig"
osource "nowhere/Kconfig"
source "$(dir)/Kconfig"
`)},
	"arch/x86/Kconfig": {Data: []byte(`config X86
	def_bool y
	select HAVE_ARCH_AUDITSYSCALL
	select SPECIAL if EXPERT
`)},
	"init/Kconfig": {Data: []byte(`
config AUDIT
	bool "Auditing support"
	depends on NET
	help
	  Help may have anything:
	    config NOT_A_SYMBOL
	  depends on nothing

config HAVE_ARCH_AUDITSYSCALL
	bool

config AUDITSYSCALL
	def_bool y
	prompt "System calls" if !QUIET
	depends on AUDIT && HAVE_ARCH_AUDITSYSCALL
	select FSNOTIFY

config QUIET
	bool "quiet"
config SPECIAL
	bool
config EXPERT
	bool "expert"
config FSNOTIFY
	bool "fsnotify"
config MODULES
	bool "modules"
	modules
config DRIVER
	tristate "driver"
config DRIVER_SUB
	bool "needs the driver built in"
	depends on DRIVER=y
config COMPILER
	bool "needs a compiler"
	depends on $(cc-has-x) && \
		X86
config NR
	int "number" if EXPERT || X86
	range 2 512 if X86
	range 1 4
config EITHER
	bool "either"
	depends on (QUIET || EXPERT) && X86
config NEWER
	bool "newer"
	depends on NR >= 16

choice
	prompt "one of"
	depends on X86
config ONE
	bool "one"
config TWO
	bool "two"
endchoice
`)},
	"lib/Kconfig": {Data: []byte(`menu "Library"
	depends on NET
	visible if EXPERT
if X86
config INSIDE
	bool "inside"
endif
endmenu
config NET
	bool "net"
`)},
}

func load() (*Model, error) {
	return Load(tree, map[string]string{"SRCARCH": "x86", "ARCH": "x86"})
}

func TestLoad(t *testing.T) {
	m, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Problems) > 0 {
		t.Errorf("problems: %q", m.Problems)
	}
	if m.defined("NOT_A_SYMBOL") != nil {
		t.Error("a help text was read as Kconfig")
	}
	for name, want := range map[string]string{
		"INSIDE":       "NET && X86 && EXPERT",
		"AUDITSYSCALL": "AUDIT && HAVE_ARCH_AUDITSYSCALL && !QUIET",
		"COMPILER":     "$(cc-has-x) && X86",
		"ONE":          "X86",
		"EITHER":       "(QUIET || EXPERT) && X86",
	} {
		x := explainer{m: m, c: &Config{}}
		deps, _ := x.visibility(m.Symbols[name])
		if deps == nil || deps.String() != want {
			t.Errorf("visibility(%s) = %v, want %s", name, deps, want)
		}
	}
}

func TestCheck(t *testing.T) {
	const base = "CONFIG_X86=y\nCONFIG_HAVE_ARCH_AUDITSYSCALL=y\n"
	for _, test := range []struct{ requested, resolved, want string }{
		{"CONFIG_AUDITSYSCALL=y", "CONFIG_NET=y\n# CONFIG_AUDIT is not set",
			"CONFIG_AUDITSYSCALL=y (f:1) did not survive: it depends on AUDIT && HAVE_ARCH_AUDITSYSCALL && !QUIET; AUDIT is not set"},
		{"CONFIG_AUDITSYSCALL=y", "", "AUDIT is not set (it depends on NET; NET is not set)"},
		{"CONFIG_AUDITSYSCALL=y\nCONFIG_AUDIT=y", "CONFIG_NET=y", "AUDIT is not set, though it was asked for"},
		{"CONFIG_AUDITSYSCALL=y", "CONFIG_AUDIT=y\nCONFIG_QUIET=y", "; QUIET is set"},
		{"CONFIG_AUDITSYSCAL=y", "", "there is no such symbol for this architecture; did you mean AUDITSYSCALL?"},
		{"CONFIG_QQQQQQQQ=y", "", "there is no such symbol for this architecture"},
		{"CONFIG_SPECIAL=y", "", "it has no prompt, so that it cannot be asked for; it is selected by X86 if EXPERT"},
		{"# CONFIG_FSNOTIFY is not set", "CONFIG_FSNOTIFY=y\nCONFIG_AUDITSYSCALL=y", "it is selected by AUDITSYSCALL"},
		{"CONFIG_DRIVER=m", "", "MODULES is not set"},
		{"CONFIG_QUIET=m", "", "it is a bool, which can be built in only"},
		{"CONFIG_DRIVER_SUB=y", "CONFIG_DRIVER=m", "it depends on DRIVER=y; DRIVER=y does not hold, DRIVER is m"},
		{"CONFIG_COMPILER=y", "", "$(cc-has-x), which asks the compiler, may not hold"},
		{"CONFIG_NR=1000", "CONFIG_NR=64", "its range is 2 to 512 (init/Kconfig:39); it is 64"},
		{"CONFIG_NR=y", "CONFIG_NR=64", "it is of type int, and the value is that of a bool"},
		{"CONFIG_EITHER=y", "", "none of QUIET, EXPERT is set"},
		{"CONFIG_NEWER=y", "CONFIG_NR=8", "NR>=16 does not hold, NR is 8"},
		{"CONFIG_TWO=y", "CONFIG_ONE=y", "only one of ONE, TWO can be set, and ONE is"},
		{"# CONFIG_ONE is not set", "CONFIG_ONE=y", "it is the choice that was made among ONE, TWO"},
		{"CONFIG_INSIDE=y", "CONFIG_NET=y", "it depends on NET && X86 && EXPERT; EXPERT is not set"},
		// and what did survive
		{"# CONFIG_GONE is not set", "", ""},
		{"CONFIG_NR=0x10", "CONFIG_NR=16", ""},
		{"CONFIG_AUDIT=y", "CONFIG_AUDIT=y", ""},
	} {
		req, err := Parse(strings.NewReader(test.requested), "f")
		if err != nil {
			t.Fatal(err)
		}
		res, err := ParseConfig(strings.NewReader(base+test.resolved), "r")
		if err != nil {
			t.Fatal(err)
		}
		err = Check(req, res, load)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("Check(%q, %q) = %v, want nil", test.requested, test.resolved, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("Check(%q, %q) = %v, want %q", test.requested, test.resolved, err, test.want)
		}
	}
}

// The real thing: everything in the Kconfig files of a kernel is understood, for each architecture.
func TestLoadKernel(t *testing.T) {
	src := need.Source(t)
	for _, arch := range []string{"x86", "powerpc"} {
		m, err := Load(os.DirFS(src), map[string]string{"SRCARCH": arch, "ARCH": arch, "srctree": "."})
		if err != nil {
			t.Fatalf("%s: %v", arch, err)
		}
		for _, p := range m.Problems {
			t.Errorf("%s: not understood: %s", arch, p)
		}
		s := m.defined("AUDITSYSCALL")
		if s == nil {
			t.Fatalf("%s: no AUDITSYSCALL among %d symbols", arch, len(m.Symbols))
		}
		x := explainer{m: m, c: &Config{}}
		if deps := x.allDeps(s); deps == nil || deps.String() != "AUDIT && HAVE_ARCH_AUDITSYSCALL" {
			t.Errorf("%s: AUDITSYSCALL depends on %v", arch, deps)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_S=\"x\\\"\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(strings.NewReader(text), "f")
		if err != nil {
			return
		}
		b, err := Parse(bytes.NewReader(a.Bytes()), "g")
		if err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("Parse(Bytes()) = %q, %v, want %q", b.Bytes(), err, a.Bytes())
		}
	})
}

func FuzzLoad(f *testing.F) {
	for _, file := range tree {
		f.Add(string(file.Data))
	}
	f.Add("source \"Kconfig\"\n")
	f.Add("if ((((\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Load(fstest.MapFS{"Kconfig": {Data: []byte(text)}}, nil)
		if err != nil {
			return
		}
		x := explainer{m: m, c: &Config{values: map[string]string{"A": "y"}}, req: &Fragment{}}
		for name := range m.Symbols {
			x.lost(Setting{Symbol: name, Value: "y"})
			x.lost(Setting{Symbol: name, Value: "n"})
		}
	})
}
