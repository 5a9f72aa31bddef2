// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
	"github.com/seriesrig/series/results"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

const patchText = `From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: Series Rig <series@seriesrig.invalid>
Date: Fri, 2 Jan 2026 03:04:0%d +0000
Subject: [PATCH %d/2] audit: change %d

Because of this.

Link: https://example.org/%d
---
A remark.

 kernel/audit.c | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/kernel/audit.c b/kernel/audit.c
index 0123456789ab..ba9876543210 100644
--- a/kernel/audit.c
+++ b/kernel/audit.c
@@ -%d,3 +%d,3 @@ int f(void)
 	one
-	two
+	zwei %d
 	three
-- 
2.39.5

`

// trial is a series of two patches, made by hand.
func trial(t testing.TB) *patches.Series {
	t.Helper()
	s := &patches.Series{ID: "kauditd-wakeup", Title: "audit: wake once", Revision: 1, Prefix: "PATCH", Base: "debian:linux-source-6.12",
		Mail:  patches.Mail{To: []string{"audit@vger.kernel.org"}, Cc: []string{"A. Maintainer <a@example.org>", "Jörg Ö <j@example.org>"}},
		Cover: patches.Cover{Subject: "audit: wake kauditd once per exit", Body: "Prose as it\nwas written.\n"}}
	for i := 1; i <= 2; i++ {
		file := fmt.Sprintf("%04d-change.patch", i)
		p, err := patches.ParsePatch(file, fmt.Appendf(nil, patchText, i, i, i, i, 100*i, 100*i, i))
		if err != nil {
			t.Fatal(err)
		}
		p.Number = i
		s.Patches = append(s.Patches, p)
	}
	return s
}

// record is a record of exactly these patches.
func record(s *patches.Series) *results.Run {
	r := &results.Run{Series: s.ID, Revision: 1, Verdict: results.Pass,
		Base: results.Base{Spec: s.Base, Version: "6.12.117-1~deb12u1", Hash: "sha256:" + strings.Repeat("0123456789abcdef", 4)}}
	for i, p := range s.Patches {
		r.Patches = append(r.Patches, results.PatchFile{N: i + 1, File: p.File, Subject: p.Subject, Hash: fmt.Sprintf("sha256:%x", sha256.Sum256(p.Raw))})
	}
	for _, arch := range []string{"amd64", "ppc64"} {
		for n := range 3 {
			v := float64(n)
			r.Cells = append(r.Cells, results.Cell{Arch: arch, Patch: n, Config: "release", Benchmarks: []results.Benchmark{
				{Name: "Openat", Unit: "wakeups/event", Values: []float64{4 - v, 4.1 - v, 4.02 - v, 4 - v, 4 - v, 4.01 - v}}}})
		}
	}
	return r
}

func render(t testing.TB, o mail.Options) *mail.Thread {
	t.Helper()
	o.Version = "v0.1.0"
	th, err := mail.Render(o)
	if err != nil {
		t.Fatal(err)
	}
	return th
}

func TestRender(t *testing.T) {
	s := trial(t)
	golden(t, "plain.mbox", string(mbox(render(t, mail.Options{Series: s}))))

	s.Cover.Body = "Measured:\n\n{{table \"wakeups\"}}\n\nThe end.\n"
	s.Changes = []patches.Changes{
		{Revision: 1, Series: []string{"first posting"}},
		{Revision: 2, Series: []string{"one thing"}, Patches: map[int][]string{2: {"another thing, told at some length so that it does not fit into one line"}}},
		{Revision: 3, Series: []string{"what comes later"}},
	}
	golden(t, "full.mbox", string(mbox(render(t, mail.Options{Series: s, Revision: 2, Run: record(s), From: jane,
		Signoff: &jane, Previous: "20260101-x@example.org", Date: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)}))))

	s = trial(t)
	s.Patches, s.Cover.Body = s.Patches[:1], ""
	golden(t, "single.mbox", string(mbox(render(t, mail.Options{Series: s, Base: results.Base{Commit: strings.Repeat("ab", 20)}}))))
}

// Each line of a thread fits into 75 columns but those that are the patch's own, and a link.
func TestRenderWidth(t *testing.T) {
	s := trial(t)
	s.Cover.Body = "{{table \"wakeups\"}}\n"
	th := render(t, mail.Options{Series: s, Run: record(s)})
	for line := range strings.Lines(th.Messages[0].Body) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 75 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestNumbers(t *testing.T) {
	s := trial(t)
	for len(s.Patches) < 12 {
		p := *s.Patches[0]
		s.Patches = append(s.Patches, &p)
	}
	// The same change again and again does not apply, which is the diffstat's to say; one patch a file does.
	for i, p := range s.Patches {
		q, err := patches.ParsePatch(p.File, bytes.ReplaceAll(p.Raw, []byte("audit.c"), fmt.Appendf(nil, "a%02d.c", i)))
		if err != nil {
			t.Fatal(err)
		}
		s.Patches[i] = q
	}
	s.Prefix = "PATCH RFC net-next"
	th := render(t, mail.Options{Series: s, Revision: 3})
	for n, want := range map[int]string{0: "[PATCH RFC net-next v3 00/12] ", 9: "[PATCH RFC net-next v3 09/12] ", 12: "[PATCH RFC net-next v3 12/12] "} {
		if m := th.Messages[n]; !strings.HasPrefix(m.Subject, want) || m.Number != n || m.Total != 12 {
			t.Errorf("message %d: %q, number %d of %d", n, m.Subject, m.Number, m.Total)
		}
	}
	for _, m := range th.Messages[1:] {
		if m.InReplyTo != th.Messages[0].ID || len(m.References) != 1 || m.References[0] != th.Messages[0].ID {
			t.Errorf("message %d does not reply to the cover letter: %q %q", m.Number, m.InReplyTo, m.References)
		}
	}
}

func TestMessageID(t *testing.T) {
	ids := func(o mail.Options) string {
		o.Version = cmpOr(o.Version, "v1")
		th, err := mail.Render(o)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, m := range th.Messages {
			out = append(out, m.ID)
		}
		return strings.Join(out, " ")
	}
	first := ids(mail.Options{Series: trial(t)})
	for name, o := range map[string]mail.Options{
		"again":   {Series: trial(t)},
		"date":    {Series: trial(t), Date: time.Unix(1e9, 0)},
		"program": {Series: trial(t), Version: "v2"},
	} {
		if got := ids(o); got != first {
			t.Errorf("%s: ids changed from %s to %s", name, first, got)
		}
	}
	reworded, other, cc := trial(t), trial(t), trial(t)
	reworded.Patches[1].Body = "Because of that.\n"
	other.Cover.Body = "Other prose.\n"
	cc.Mail.Cc = nil
	for name, o := range map[string]mail.Options{
		"body": {Series: reworded}, "cover": {Series: other}, "cc": {Series: cc}, "sender": {Series: trial(t), From: jane}, "revision": {Series: trial(t), Revision: 2},
	} {
		if got := ids(o); strings.Contains(got, strings.Fields(first)[0]) || strings.Contains(got, strings.Fields(first)[1]) {
			t.Errorf("%s: the thread is another one and has ids of the first: %s", name, got)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func TestTables(t *testing.T) {
	s := trial(t)
	s.Cover.Body = "{{table \"wakeups\"}}\n"
	if _, err := mail.Render(mail.Options{Series: s}); err == nil || !strings.Contains(err.Error(), `"wakeups"`) {
		t.Errorf("a place without a record: %v", err)
	}
	if th := render(t, mail.Options{Series: s, AllowMissing: true}); !strings.Contains(th.Messages[0].Body, "(not measured: wakeups)\n") {
		t.Errorf("AllowMissing:\n%s", th.Messages[0].Body)
	}
	run := record(s)
	for i := range run.Cells {
		run.Cells[i].Benchmarks = nil
	}
	if _, err := mail.Render(mail.Options{Series: s, Run: run}); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("a record without the figures: %v, want ErrNotMeasured", err)
	}
	if th := render(t, mail.Options{Series: s, Run: run, AllowMissing: true}); !strings.Contains(th.Messages[0].Body, "(not measured: wakeups)\n") {
		t.Errorf("AllowMissing with a record:\n%s", th.Messages[0].Body)
	}
	s.Cover.Body = "{{table \"wakups\"}}\n"
	if _, err := mail.Render(mail.Options{Series: s, Run: record(s)}); err == nil || !strings.Contains(err.Error(), "verdicts, wakeups") {
		t.Errorf("a misspelt name: %v, want the names there are", err)
	}
}

// A table is that of the record which fills most of it, and of the first of those that fill it alike.
func TestTableOfSeveralRecords(t *testing.T) {
	s := trial(t)
	s.Cover.Body = "{{table \"wakeups\"}}\n"
	without, part, all, older := record(s), record(s), record(s), record(s)
	for i := range without.Cells {
		without.Cells[i].Benchmarks = nil
	}
	for i := range part.Cells[1:] {
		part.Cells[1+i].Benchmarks = nil
	}
	for i := range older.Cells {
		for k := range older.Cells[i].Benchmarks[0].Values {
			older.Cells[i].Benchmarks[0].Values[k] += 100
		}
	}
	body := func(run *results.Run, more ...*results.Run) string {
		return render(t, mail.Options{Series: s, Run: run, More: more}).Messages[0].Body
	}
	want := body(all)
	for name, got := range map[string]string{
		"the first has none":    body(without, all, older),
		"the first has a part":  body(part, all, older),
		"the first has as much": body(all, older, part),
	} {
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	if body(older) == want {
		t.Error("the records do not differ: this test cannot fail")
	}
	if _, err := mail.Render(mail.Options{Series: s, Run: without, More: []*results.Run{without}}); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("none has it: %v", err)
	}
	other := record(s)
	other.Base.Hash = "sha256:" + strings.Repeat("5", 64)
	var stale *mail.StaleError
	if _, err := mail.Render(mail.Options{Series: s, Run: without, More: []*results.Run{other}}); !errors.As(err, &stale) {
		t.Errorf("a record of another base: %v, want a StaleError", err)
	}
}

// Figures of other patches are refused.
func TestStale(t *testing.T) {
	for name, spoil := range map[string]func(*results.Run){
		"series": func(r *results.Run) { r.Series = "other" },
		"number": func(r *results.Run) { r.Patches = r.Patches[:1] },
		"patch":  func(r *results.Run) { r.Patches[1].Hash = r.Patches[0].Hash },
	} {
		s := trial(t)
		run := record(s)
		spoil(run)
		var stale *mail.StaleError
		if _, err := mail.Render(mail.Options{Series: s, Run: run}); !errors.As(err, &stale) {
			t.Errorf("%s: %v, want a StaleError", name, err)
		}
	}
}

// Any edit of a patch, be it a letter of its message, makes the figures those of other patches.
func TestStaleByAnyEdit(t *testing.T) {
	s := trial(t)
	run := record(s)
	raw := s.Patches[1].Raw
	edits := 0
	for i, c := range raw {
		if c < 'a' || c > 'z' || i%7 != 0 {
			continue
		}
		edited := bytes.Clone(raw)
		edited[i] ^= 0x20
		p := *s.Patches[1]
		p.Raw = edited
		s.Patches[1] = &p
		var stale *mail.StaleError
		if _, err := mail.Render(mail.Options{Series: s, Run: run}); !errors.As(err, &stale) {
			t.Fatalf("byte %d of the patch changed: %v, want a StaleError", i, err)
		}
		edits++
	}
	if edits < 20 {
		t.Errorf("%d edits, want at least 20", edits)
	}
}

// What has a place in the cover letter stands there, and not again at its end.
func TestPlaces(t *testing.T) {
	s := trial(t)
	s.Cover.Body = "First:\n\n{{diffstat}}\n\nthen {{\"{{\"}}\n\n{{verdicts}}\n\n{{changes}}\n\nlast.\n"
	s.Changes = []patches.Changes{{Revision: 2, Series: []string{"a change"}}}
	s.ChangeID = "20260102-x-0123456789ab"
	s.Prerequisites = []string{strings.Repeat("ab", 20), strings.Repeat("cd", 20)}
	s.Base = "git:/linux#" + strings.Repeat("12", 20)
	body := render(t, mail.Options{Series: s, Revision: 2, Run: nil, AllowMissing: true, RangeDiff: "1:  aaaaaaa = 1:  bbbbbbb audit: change 1\n", RangeDiffOf: 1}).Messages[0].Body
	at := 0
	for _, want := range []string{"First:\n\n kernel/audit.c | ", " 1 file changed", "\n\nthen {{\n\n(not measured: verdicts)\n\nChanges in v2:\n- a change\n\nlast.\n\nSeries Rig (2):\n",
		"\n\nRange-diff against v1:\n1:  aaaaaaa = 1:  bbbbbbb audit: change 1\n\nbase-commit: 1212", "\nprerequisite-patch-id: abab", "\nprerequisite-patch-id: cdcd",
		"\nchange-id: 20260102-x-0123456789ab\n-- \n"} {
		i := strings.Index(body[at:], want)
		if i < 0 {
			t.Fatalf("not there, or not in its place: %q in\n%s", want, body)
		}
		at += i + len(want) - 1
	}
	if strings.Count(body, "1 file changed") != 1 || strings.Count(body, "Changes in v2") != 1 {
		t.Errorf("a part is there twice:\n%s", body)
	}
}

// The change log is merged in the cover letter, and each patch has its own, the newest first.
func TestChangeLog(t *testing.T) {
	s := trial(t)
	s.Changes = []patches.Changes{
		{Revision: 1, Series: []string{"first posting"}},
		{Revision: 2, Series: []string{"rebase"}, Patches: map[int][]string{1: {"rename f()", "Rebase."}, 2: {"rename f()", "add a test"}}},
		{Revision: 4, Series: []string{"reword"}, Patches: map[int][]string{2: {"mend it"}}},
	}
	th := render(t, mail.Options{Series: s, Revision: 4})
	for n, want := range []string{
		"Changes in v4:\n- reword\n- patch 2: mend it\n\nChanges in v2:\n- rebase\n- patches 1, 2: rename f()\n- patch 2: add a test\n\nSeries Rig",
		"---\nA remark.\n\n(no changes since v2)\n\nChanges in v2:\n- rename f()\n- Rebase.\n\n kernel/audit.c |",
		"---\nA remark.\n\nChanges in v4:\n- mend it\n\nChanges in v2:\n- rename f()\n- add a test\n\n kernel/audit.c |",
	} {
		if body := th.Messages[n].Body; !strings.Contains(body, want) {
			t.Errorf("message %d: not there: %q in\n%s", n, want, body)
		}
	}
	if body := render(t, mail.Options{Series: s, Revision: 1}).Messages[1].Body; strings.Contains(body, "changes since") {
		t.Errorf("a first posting has a change log:\n%s", body)
	}
}

// Nothing that a series or a patch says adds a header, a recipient or a message.
func TestInjection(t *testing.T) {
	for name, spoil := range map[string]func(*patches.Series, *mail.Options){
		"subject":        func(s *patches.Series, o *mail.Options) { s.Patches[0].Subject = "x\nBcc: e@vil.example" },
		"subject CR":     func(s *patches.Series, o *mail.Options) { s.Patches[0].Subject = "x\rBcc: e@vil.example" },
		"subject NUL":    func(s *patches.Series, o *mail.Options) { s.Patches[0].Subject = "x\x00" },
		"subject prefix": func(s *patches.Series, o *mail.Options) { s.Patches[0].Subject = "[x] lost in git am" },
		"subject Re":     func(s *patches.Series, o *mail.Options) { s.Patches[0].Subject = "Re: lost in git am" },
		"cover":          func(s *patches.Series, o *mail.Options) { s.Cover.Subject = "x\nBcc: e@vil.example" },
		"prefix":         func(s *patches.Series, o *mail.Options) { s.Prefix = "PATCH\nBcc: e@vil.example" },
		"prefix bracket": func(s *patches.Series, o *mail.Options) { s.Prefix = "PATCH] x [" },
		"author":         func(s *patches.Series, o *mail.Options) { s.Patches[0].Author.Name = "A\nBcc: e@vil.example" },
		"author address": func(s *patches.Series, o *mail.Options) { s.Patches[0].Author.Email = "a@b.c>\nBcc: <e@vil.example" },
		"sender": func(s *patches.Series, o *mail.Options) {
			o.From.Name = "A\r\nBcc: e@vil.example"
			o.From.Address = "a@b.c"
		},
		"sender address": func(s *patches.Series, o *mail.Options) { o.From.Address = "a@b.c, e@vil.example" },
		"no address":     func(s *patches.Series, o *mail.Options) { o.From.Address = "somebody" },
		"signoff": func(s *patches.Series, o *mail.Options) {
			o.Signoff = &netmail.Address{Name: "A\nAcked-by: B", Address: "a@b.c"}
		},
		"to":           func(s *patches.Series, o *mail.Options) { s.Mail.To = []string{"a@b.c\n Bcc: e@vil.example"} },
		"cc":           func(s *patches.Series, o *mail.Options) { s.Mail.Cc = []string{"not an address"} },
		"version":      func(s *patches.Series, o *mail.Options) { o.Version = "1\n\nFrom x Mon Sep 17 00:00:00 2001\n" },
		"previous":     func(s *patches.Series, o *mail.Options) { o.Previous = "https://x/\nfoo" },
		"base":         func(s *patches.Series, o *mail.Options) { o.Base.Version = "1\n-- \n" },
		"body NUL":     func(s *patches.Series, o *mail.Options) { s.Patches[0].Body = "a\x00b\n" },
		"body charset": func(s *patches.Series, o *mail.Options) { s.Patches[0].Body = "a\xffb\n" },
		"body diff":    func(s *patches.Series, o *mail.Options) { s.Patches[0].Body = "a\ndiff --git a/x b/x\n" },
		"body dashes":  func(s *patches.Series, o *mail.Options) { s.Patches[0].Body = "a\n---\nlost\n" },
		"escape":       func(s *patches.Series, o *mail.Options) { s.Patches[0].Subject = "x\u009b2J" },
		"bidi":         func(s *patches.Series, o *mail.Options) { s.Patches[0].Author.Name = "x\u202ey" },
		"change-id":    func(s *patches.Series, o *mail.Options) { s.ChangeID = "x\n-- \n" },
		"prerequisite": func(s *patches.Series, o *mail.Options) { s.Prerequisites = []string{"x\n-- \n"} },
		"range-diff": func(s *patches.Series, o *mail.Options) {
			o.RangeDiff, o.RangeDiffOf = "1: a = 1: b\ndiff --git a/x b/x\n", 1
		},
		"range escape": func(s *patches.Series, o *mail.Options) { o.RangeDiff, o.RangeDiffOf = "1: a = 1: b \x1b[2J\n", 1 },
		"no patches":   func(s *patches.Series, o *mail.Options) { s.Patches = nil },
	} {
		s := trial(t)
		o := mail.Options{Series: s, Version: "v0.1.0"}
		spoil(s, &o)
		if th, err := mail.Render(o); err == nil {
			t.Errorf("%s: rendered:\n%s", name, mbox(th))
		} else if strings.ContainsAny(err.Error(), "\r\n\x00") {
			t.Errorf("%s: the error has line ends: %q", name, err)
		}
	}
}

func TestSignoff(t *testing.T) {
	s := trial(t)
	line := "Signed-off-by: Jane Sender <jane@example.org>\n"
	for _, m := range render(t, mail.Options{Series: s}).Messages {
		if strings.Contains(m.Body, "Signed-off-by") {
			t.Errorf("a sign-off that nobody asked for:\n%s", m.Body)
		}
	}
	s.Patches[1].Body, s.Patches[1].Trailers = "No trailers.\n", nil
	th := render(t, mail.Options{Series: s, Signoff: &jane})
	for n, want := range []string{"", "Link: https://example.org/1\n" + line + "---\n", "No trailers.\n\n" + line + "---\n"} {
		if m := th.Messages[n]; !strings.Contains(m.Body, want) || strings.Count(m.Body, line) != min(n, 1) {
			t.Errorf("message %d: not once %q in\n%s", n, want, m.Body)
		}
	}
	s.Patches[1].Body = "Text.\n\n" + line
	s.Patches[1].Trailers = []patches.Trailer{{Key: "Signed-off-by"}}
	if m := render(t, mail.Options{Series: s, Signoff: &jane}).Messages[2]; strings.Count(m.Body, line) != 1 {
		t.Errorf("signed off twice:\n%s", m.Body)
	}
}

// The author signs off above what others said of the patch; who passes it on does so at the end.
func TestSignoffPlace(t *testing.T) {
	const (
		link, fixes = "Link: https://example.org/1\n", "Fixes: 0123456789ab (\"x\")\n"
		review      = "Reviewed-by: R <r@example.org>\n"
		other       = "Signed-off-by: O <o@example.org>\n"
	)
	mine := "Signed-off-by: " + jane.Name + " <" + jane.Address + ">\n"
	for _, c := range []struct{ body, author, forwarder string }{
		{"Why.\n", "Why.\n\n" + mine, ""},
		{"Why.\n\n" + link, "Why.\n\n" + mine + link, "Why.\n\n" + link + mine},
		{"Why.\n\n" + fixes + link, "Why.\n\n" + fixes + mine + link, "Why.\n\n" + fixes + link + mine},
		{"Why.\n\n" + fixes + review + "Cc: stable@vger.kernel.org\n", "Why.\n\n" + fixes + mine + review + "Cc: stable@vger.kernel.org\n", ""},
		{"Why.\n\n" + fixes + "Reviewed-by: R\n <r@example.org>\n", "Why.\n\n" + fixes + mine + "Reviewed-by: R\n <r@example.org>\n", ""},
		{"Why.\n\n" + mine + review, "Why.\n\n" + mine + review, ""},
		{"Why.\n\n" + fixes + mine, "Why.\n\n" + fixes + mine, ""},
		{"Why.\n\n" + other + review, "Why.\n\n" + other + mine + review, "Why.\n\n" + other + review + mine},
		{review, mine + review, ""},
	} {
		for who, want := range map[netmail.Address]string{jane: c.author, {Name: "F", Address: "f@example.org"}: strings.ReplaceAll(c.forwarder, mine, "Signed-off-by: F <f@example.org>\n")} {
			if want == "" {
				continue
			}
			raw := "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: Jane Sender <jane@example.org>" + "\nDate: Fri, 2 Jan 2026 03:04:05 +0100\nSubject: [PATCH] a: b\n\n" + c.body + "---\n\ndiff --git a/a b/a\nindex 0123456..1234567 100644\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\n-- \n2.39.5\n"
			p, err := patches.ParsePatch("0001-b.patch", []byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			th := render(t, mail.Options{Series: &patches.Series{ID: "x", Base: "dir:linux", Patches: []*patches.Patch{p}}, From: who, Signoff: &who})
			got, _, _ := strings.Cut(th.Messages[0].Body, "---\n")
			if _, rest, ok := strings.Cut(got, "From: Jane"); ok {
				_, got, _ = strings.Cut(rest, "\n\n")
			}
			if got != want {
				t.Errorf("message %q signed off by %s:\n%q, want\n%q", c.body, who.Address, got, want)
			}
		}
	}
}
