// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/results"
)

// grown is a record of two architectures whose patches changed the kernels.
func grown() *results.Run {
	r := trial()
	for i := range r.Cells {
		c := &r.Cells[i]
		if c.Patch == 0 {
			continue
		}
		c.Delta = &results.Delta{
			Since: c.Patch - 1,
			Text:  results.Size{Before: 6593629, After: 6593629}, Data: results.Size{Before: 2856546, After: 2856546},
			Code: results.Size{Before: 4330551, After: 4330449}, Vars: results.Size{Before: 1996812, After: 1996820}, Zero: results.Size{Before: 454648, After: 454648},
			Symbols: []results.SymbolDelta{
				{Name: "audit_backlog_sleep", Kind: "func", Size: results.Size{After: 171}, New: true},
				{Name: "audit_log_start", Kind: "func", Size: results.Size{Before: 858, After: 716}},
				{Name: "a_name_that_is_so_long_that_no_line_would_hold_it_beside_the_figures_that_belong_to_it", Kind: "data", Size: results.Size{Before: 8, After: 16}},
			},
			Sections: []results.SectionDelta{{Name: "tab", FlagsBefore: "PROGBITS A", FlagsAfter: "PROGBITS WA"}},
			Extra:    &results.ExtraWarnings{Asked: "W=1", Files: []string{"a.c"}, Warnings: []string{"a.c:1: warning: both", "a.c:9: warning: plain"}},
		}
		c.Build.WarningsNew = []string{"a.c:9: warning: plain"}
		if c.Arch == "ppc64" {
			c.Delta.Since, c.Delta.Code.After = 0, 4330900
			c.Delta.Symbols = append(c.Delta.Symbols, results.SymbolDelta{Name: "gone_label", Kind: "label", Gone: true})
			for k := range 25 {
				c.Delta.Symbols = append(c.Delta.Symbols, results.SymbolDelta{Name: fmt.Sprintf("small%02d", k), Kind: "func", Size: results.Size{Before: 8, After: 4}})
			}
			c.Delta.Extra.Warnings = append(c.Delta.Extra.Warnings, "a.c:2: warning: ppc64's alone")
		}
	}
	return r
}

func TestDeltaTables(t *testing.T) {
	for _, name := range []string{"size", "symbols"} {
		r := grown()
		encode(t, r)
		table, err := results.TableFor(name, r)
		if err != nil {
			t.Fatal(err)
		}
		text := textOf(t, table)
		md, err := table.Markdown()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "table-"+name+".golden", text+"-- markdown --\n"+md)
		checkWidth(t, text, results.Width)
		// Several configurations have a column.
		for i := range r.Cells {
			if r.Cells[i].Arch == "ppc64" {
				r.Cells[i].Config = "debug"
			}
		}
		if table, err = results.TableFor(name, r); err != nil {
			t.Fatal(err)
		}
		if text, err = table.Text(0); err != nil || !strings.Contains(text, "debug") {
			t.Errorf("%s with two configurations: %v\n%s", name, err, text)
		}
		checkWidth(t, text, results.Width)
	}
}

func TestDeltaNotMeasured(t *testing.T) {
	for _, name := range []string{"size", "symbols"} {
		if _, err := results.TableFor(name, trial()); !errors.Is(err, results.ErrNotMeasured) {
			t.Errorf("TableFor(%s) without deltas = %v, want ErrNotMeasured", name, err)
		}
	}
}

func TestDeltaRoundTrip(t *testing.T) {
	r := grown()
	data, err := json.Marshal(r.CellAt("amd64", 2, "release"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"delta":{"since":1`, `"name":"audit_backlog_sleep","kind":"func","before":0,"after":171,"new":true`, `"flags_before":"PROGBITS A"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("JSON has no %s: %s", want, data)
		}
	}
	back, err := results.Decode(strings.NewReader(string(encode(t, r))))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r.Cells, back.Cells); d != "" {
		t.Errorf("(-wrote +read):\n%s", d)
	}
	for what, spoil := range map[string]func(*results.Delta){
		"itself":   func(d *results.Delta) { d.Since = 2 },
		"negative": func(d *results.Delta) { d.Zero.After = -1 },
		"both":     func(d *results.Delta) { d.Symbols[0].Gone = true },
		"nameless": func(d *results.Delta) { d.Symbols[0].Name = "" },
	} {
		r := grown()
		spoil(r.CellAt("amd64", 2, "release").Delta)
		if _, err := results.Encode(r); !errors.Is(err, results.ErrInvalid) {
			t.Errorf("%s: Encode = %v, want ErrInvalid", what, err)
		}
	}
}

// What several architectures say alike is one line; what a plain build says is not said again as W=1's.
func TestNewsOf(t *testing.T) {
	r := grown()
	r.CellAt("ppc64", 2, "release").Build.Errors = []string{"b.c:3: error: \x1b[31mno"}
	encode(t, r)
	var got []string
	for _, n := range results.NewsOf(r) {
		if n.Patch == 2 {
			got = append(got, n.String())
		}
	}
	want := []string{"amd64, ppc64: a.c:9: warning: plain", "amd64, ppc64: a.c:1: warning: both (W=1)",
		"ppc64: b.c:3: error:  [31mno", "ppc64: a.c:2: warning: ppc64's alone (W=1)"}
	if !slices.Equal(got, want) {
		t.Errorf("NewsOf = %q, want %q", got, want)
	}
}

func TestBuildNews(t *testing.T) {
	r := grown()
	r.CellAt("ppc64", 2, "release").Delta.Sections = append(r.CellAt("ppc64", 2, "release").Delta.Sections,
		results.SectionDelta{Name: "new", FlagsAfter: "NOBITS WA", Size: results.Size{After: 8}},
		results.SectionDelta{Name: "old", FlagsBefore: "PROGBITS A", Size: results.Size{Before: 4}},
		results.SectionDelta{Name: ".text", FlagsBefore: "PROGBITS AX", FlagsAfter: "PROGBITS AX", Size: results.Size{Before: 4, After: 8}})
	for _, arch := range []string{"amd64", "ppc64"} {
		r.CellAt(arch, 2, "release").Delta.Config = []string{"+CONFIG_A=y"}
	}
	encode(t, r)
	want := []string{"patch 1: amd64: section tab: PROGBITS WA, was PROGBITS A", "patch 2: amd64, ppc64: configuration: +CONFIG_A=y",
		"patch 2: amd64, ppc64: section tab: PROGBITS WA, was PROGBITS A",
		"patch 2: ppc64: section new is new: NOBITS WA, 8 bytes", "patch 2: ppc64: section old is gone: it was PROGBITS A, 4 bytes"}
	if got := results.BuildNews(r); !slices.Equal(got, want) {
		t.Errorf("BuildNews = %q, want %q", got, want)
	}
}
