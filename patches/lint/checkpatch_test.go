// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches/lint"
)

func read1(t *testing.T, s string) *lint.Message {
	t.Helper()
	ms, err := lint.Read("in", strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return ms[0]
}

// What checkpatch would put into a shell's command line must not reach it.
func TestPlainUnsafe(t *testing.T) {
	for name, text := range map[string]string{
		"semicolon":          strings.ReplaceAll(diff, "f.c", "f;touch${IFS}x;.c"),
		"backtick":           strings.ReplaceAll(diff, "f.c", "`x`.c"),
		"dollar":             strings.Replace(diff, "+++ b/f.c", "+++ b/$(x).c", 1),
		"pipe":               strings.Replace(diff, "diff --git a/f.c b/f.c", "diff --git a/f.c b/f|x", 1),
		"option":             strings.ReplaceAll(diff, "/f.c", "/--output=x"),
		"in a hunk":          strings.Replace(diff, "+new", "+++ b/f;x", 1),
		"name with a blank":  strings.ReplaceAll(diff, "/f.c", "/f c;x"),
		"vertical tab":       strings.Replace(diff, "+++ b/f.c", "+++\vb/f;x", 1),
		"no-break space":     strings.Replace(diff, "+++ b/f.c", "+++\u00a0b/f;x", 1),
		"include with tab":   strings.Replace(diff, "+new", "+#\vinclude <asm/x`y`.h>", 1),
		"licence":            strings.Replace(diff, "+new", "+// SPDX-License-Identifier: $(touch x)", 1),
		"licence with quote": strings.Replace(diff, "+new", `+// SPDX-License-Identifier: GPL-2.0"; touch x; "`, 1),
		"include":            strings.Replace(diff, "+new", "+#include <asm/x`y`.h>", 1),
		"plus in the text":   "",
	} {
		s := strings.Replace(whole, diff, text, 1)
		if text == "" {
			s = strings.Replace(whole, "It wraps.", "It wraps.\n+++ b/f;x", 1)
		}
		_, err := read1(t, s).Plain()
		var bad *lint.ReadError
		if !errors.As(err, &bad) || bad.Line == 0 {
			t.Errorf("%s: Plain = %v, want a ReadError with a line", name, err)
		}
	}
	for _, ok := range []string{"arch/x86/kernel/cpu/mce/core.c", "Documentation/devicetree/bindings/net/acme,nic@1.yaml", "drivers/a-b/c++.c"} {
		if _, err := read1(t, strings.Replace(whole, diff, strings.ReplaceAll(diff, "f.c", ok), 1)).Plain(); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	if _, err := read1(t, strings.Replace(whole, "+new", "+/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */", 1)).Plain(); err != nil {
		t.Error(err)
	}
}

// Lines of checkpatch's are those of its input; findings have those of the file that was given.
func TestCheckpatch(t *testing.T) {
	s := from + whole + "\n" + from + head + "Content-Transfer-Encoding: quoted-printable\n\nIt =\nwraps.\n---\n" + strings.Replace(diff, "+new", "+=09new", 1)
	ms, err := lint.Read("in", strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ms[1].Plain()
	if err != nil {
		t.Fatal(err)
	}
	line := 1 + strings.Count(string(p.Text[:strings.Index(string(p.Text), "+\tnew")]), "\n")
	out := fmt.Sprintf("x.patch:%d: ERROR:SPACING: space\x1b[31m it\nother.patch:%[1]d: ERROR:SPACING: not ours\n"+
		"x.patch:1: WARNING:MISSING_SIGN_OFF: none\nx.patch:99999: CHECK:ODD: beyond\nx.patch:nonsense\ngarbage\n", line)
	want := []lint.Finding{
		{Rule: "checkpatch:SPACING", File: "in", Line: 29, Level: lint.Error, Message: "space\uFFFD[31m it"},
		{Rule: "checkpatch:MISSING_SIGN_OFF", File: "in", Line: 17, Level: lint.Warning, Message: "none"},
		{Rule: "checkpatch:ODD", File: "in", Line: 18, Level: lint.Warning, Message: "beyond"},
	}
	if d := cmp.Diff(want, p.Checkpatch("x.patch", []byte(out))); d != "" {
		t.Errorf("Checkpatch (-want +got):\n%s", d)
	}
}

// What our own rules found already is not said twice.
func TestMerge(t *testing.T) {
	m := read1(t, strings.Replace(whole, "Signed-off-by: Ann Author <ann@example.org>\n", "", 1))
	rep, err := lint.Check(lint.Input{Messages: []*lint.Message{m}})
	if err != nil {
		t.Fatal(err)
	}
	n := len(rep.Findings)
	rep.Merge(m, 0, []lint.Finding{{Rule: "checkpatch:MISSING_SIGN_OFF", File: "in"}, {Rule: "checkpatch:SPACING", File: "in"}, {Rule: "checkpatch:UNKNOWN_COMMIT_ID", File: "in"}, {Rule: "checkpatch:FILE_PATH_CHANGES", File: "in"}})
	var got []string
	for _, f := range rep.Findings[n:] {
		got = append(got, f.Rule)
	}
	if d := cmp.Diff([]string{"checkpatch:SPACING", "checkpatch:FILE_PATH_CHANGES"}, got); d != "" {
		t.Errorf("merged (-want +got):\n%s", d)
	}
}
