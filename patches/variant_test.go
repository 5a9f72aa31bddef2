// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const variantTables = `
[headline]
benchmark = "Clone/small"
unit = "insns/op"

[[variant]]
name = "no-audit"
why = "the hooks are empty"
off = ["AUDIT", "AUDITSYSCALL"]
patch = "prompt.patch"
arches = ["ppc64"]

[[variant]]
name = "debug"
why = "lockdep looks on"
config = ["debug"]
test = true
`

func variantTrial() map[string]string {
	files := trial()
	files["series.toml"] += variantTables
	files["variants/prompt.patch"] = mbox("one: ask", diffOne)
	return files
}

func TestVariants(t *testing.T) {
	s, err := Load(filepath.Join(writeTrial(t, variantTrial()), "trial"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Variants) != 2 || s.Variants[0].Patch == nil || s.Variants[0].Patch.Subject != "one: ask" {
		t.Fatalf("variants are %+v", s.Variants)
	}
	got := append([]Variant(nil), s.Variants...)
	got[0].Patch = nil
	want := []Variant{
		{Name: "no-audit", Why: "the hooks are empty", Off: []string{"AUDIT", "AUDITSYSCALL"}, Arches: []string{"ppc64"}},
		{Name: "debug", Why: "lockdep looks on", Config: []string{"debug"}, Test: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("variants (-want +got)\n%s", d)
	}
	if d := cmp.Diff(Headline{"Clone/small", "insns/op"}, s.Headline); d != "" {
		t.Errorf("headline (-want +got)\n%s", d)
	}
	if len(s.Patches) != 2 {
		t.Errorf("a variant's patch was taken for one of the series: %d patches", len(s.Patches))
	}
	if v := s.Variants[0]; v.On("amd64") || !v.On("ppc64") || !s.Variants[1].On("amd64") {
		t.Error("On is wrong")
	}
}

func TestVariantsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"name with capitals":  {`"no-audit"`, `"No"`, `"No" is not of small letters, digits and hyphens`},
		"the release's name":  {`"no-audit"`, `"release"`, `"release" has a meaning of its own`},
		"all":                 {`"no-audit"`, `"all"`, `"all" has a meaning of its own`},
		"name twice":          {`"no-audit"`, `"debug"`, `variant "debug" is there twice`},
		"no reason":           {`"lockdep looks on"`, `" "`, `why is empty`},
		"nothing changed":     {`config = ["debug"]`, ``, `variant "debug" is the release configuration`},
		"symbol with CONFIG_": {`"AUDITSYSCALL"`, `"CONFIG_AUDITSYSCALL"`, `is not a Kconfig symbol`},
		"symbol of two lines": {`"AUDITSYSCALL"`, `"A\nCONFIG_B=y"`, `is not a Kconfig symbol`},
		"fragment elsewhere":  {`["debug"]`, `["../debug"]`, `is not the name of a fragment`},
		"arch elsewhere":      {`["ppc64"]` + "\n\n[[variant]]", `["riscv64"]` + "\n\n[[variant]]", `is not one of the series' arches`},
		"patch elsewhere":     {`"prompt.patch"`, `"../0001-add-two.patch"`, `is not the name of a file in the series' folder variants/`},
		"patch not there":     {`"prompt.patch"`, `"other.patch"`, `other.patch`},
		"unknown key":         {`test = true`, `tests = true`, `unknown key "variant.tests" (did you mean "test"?)`},
		"headline, two lines": {`"Clone/small"`, `"Clone\n"`, `headline.benchmark must be one line`},
		"headline of nothing": {`unit = "insns/op"`, ``, `missing key "headline.unit"`},
	} {
		t.Run(name, func(t *testing.T) {
			files := variantTrial()
			if n := strings.Count(files["series.toml"], tc.old); n != 1 {
				t.Fatalf("%q stands %d times", tc.old, n)
			}
			files["series.toml"] = strings.Replace(files["series.toml"], tc.old, tc.new, 1)
			_, err := Load(filepath.Join(writeTrial(t, files), "trial"))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "series.toml:") {
				t.Errorf("Load = %v, want series.toml:LINE and %q", err, tc.want)
			}
		})
	}
}
