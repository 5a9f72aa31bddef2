// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodSections = `
[[section]]
name = ".task_watchers"
from = 1

[[section]]
name = ".task_watchers.init"
from = 2
module = "samples/tw/tw.ko"
arches = ["ppc64"]
variants = ["release"]
`

func TestSections(t *testing.T) {
	files := trial()
	files["series.toml"] += goodSections
	s, err := Load(filepath.Join(writeTrial(t, files), "trial"))
	if err != nil {
		t.Fatal(err)
	}
	again := files["series.toml"] + strings.Replace(goodSections, ".task_watchers\"", ".other\"", 1)
	files["series.toml"] = strings.Replace(again, `arches = ["ppc64"]`+"\nvariants", `arches = ["amd64"]`+"\nvariants", 1)
	if _, err := Load(filepath.Join(writeTrial(t, files), "trial")); err != nil {
		t.Errorf("the same section on other architectures: %v", err)
	}
	want := []Section{
		{Name: ".task_watchers", From: 1},
		{Name: ".task_watchers.init", From: 2, Module: "samples/tw/tw.ko", Arches: []string{"ppc64"}, Variants: []string{"release"}},
	}
	if d := cmp.Diff(want, s.Sections); d != "" {
		t.Errorf("sections (-want +got):\n%s", d)
	}
	for _, tt := range []struct {
		arch, config string
		want         string
	}{{"amd64", "release", "true false"}, {"ppc64", "release", "true true"}, {"ppc64", "debug", "true false"}} {
		got := strings.Trim(strings.Join([]string{yes(s.Sections[0].On(tt.arch, tt.config)), yes(s.Sections[1].On(tt.arch, tt.config))}, " "), " ")
		if got != tt.want {
			t.Errorf("On(%s, %s) = %s, want %s", tt.arch, tt.config, got, tt.want)
		}
	}
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func TestSectionsRefused(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{`".task_watchers"`, `"a b"`, `"a b" is not the name of an ELF section`},
		{`".task_watchers.init"` + "\nfrom = 2\nmodule", `".task_watchers"` + "\nfrom = 2\nmodul", `unknown key "section.modul" (did you mean "module"?)`},
		{"from = 1", "from = 3", `from = 3: the series has patches 1 to 2`},
		{"from = 1", "from = 0", `from = 0: the series has patches 1 to 2`},
		{"from = 1\n", "", `missing key "section[0].from"`},
		{`"samples/tw/tw.ko"`, `"../tw.ko"`, `"../tw.ko" is not the path of a module`},
		{`"samples/tw/tw.ko"`, `"samples/tw/tw.o"`, `"samples/tw/tw.o" is not the path of a module`},
		{`arches = ["ppc64"]` + "\nvariants", `arches = ["riscv64"]` + "\nvariants", `arch "riscv64" is not one of the series' arches`},
		{`["release"]`, `["debug"]`, `"debug" is neither release nor a variant of the series`},
		{"\n[[section]]\nname = \".task_watchers.init\"\nfrom = 2\nmodule = \"samples/tw/tw.ko\"", "\n[[section]]\nname = \".task_watchers\"\nfrom = 2", `section ".task_watchers" is there twice for the same kernels`},
	} {
		if n := strings.Count(goodSections, tt.old); n != 1 {
			t.Fatalf("%q stands %d times in the text, want once", tt.old, n)
		}
		files := trial()
		files["series.toml"] += strings.Replace(goodSections, tt.old, tt.new, 1)
		dir := filepath.Join(writeTrial(t, files), "trial")
		_, err := Load(dir)
		wantError(t, err, filepath.Dir(dir), "trial/series.toml:", tt.want)
	}
}

func TestSymbolOn(t *testing.T) {
	y := Symbol{Name: "x", From: 1, Arches: []string{"ppc64"}, Variants: []string{"release"}}
	for _, tt := range []struct {
		sym          Symbol
		arch, config string
		want         bool
	}{{y, "ppc64", "release", true}, {y, "amd64", "release", false}, {y, "ppc64", "no-audit", false}, {Symbol{}, "amd64", "no-audit", true}} {
		if got := tt.sym.On(tt.arch, tt.config); got != tt.want {
			t.Errorf("%+v.On(%s, %s) = %v, want %v", tt.sym, tt.arch, tt.config, got, tt.want)
		}
	}
}
