// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
)

const fullPatch = `From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001
From: =?UTF-8?q?J=C3=B6rg=20M=C3=BCller?= <joerg@example.org>
Date: Sat, 21 Nov 2026 10:00:00 +0530
Subject: [RFC PATCH net-next v3 02/13] audit: wake kauditd once per syscall exit, and
 =?UTF-8?q?=20nicht=20=C3=B6fter?=
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit

First paragraph.   


Second paragraph.

Fixes: 0123456789ab ("audit: something
 that was long")
Link: https://example.org/1
---
Changes in v3: none.

 f => g | 3 ++-
 1 file changed, 2 insertions(+), 1 deletion(-)

diff --git a/f b/f
index 257cc56..3bd1f0e 100644
--- a/f
+++ b/f
@@ -1,3 +1,4 @@ func
 one
-two
+2
+two and a half
 three
-- 
2.39.5

`

func TestParsePatch(t *testing.T) {
	p, err := ParsePatch("dir/0002-x.patch", []byte(fullPatch))
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 11, 21, 4, 30, 0, 0, time.UTC); !p.Date.Equal(want) || p.Date.Format("-0700") != "+0530" {
		t.Errorf("date is %v, want %v at +0530", p.Date, want)
	}
	want := Patch{
		File: "dir/0002-x.patch", Author: Person{"Jörg Müller", "joerg@example.org"},
		Subject: "audit: wake kauditd once per syscall exit, and nicht öfter", Prefix: "RFC PATCH net-next v3 02/13",
		Body: "First paragraph.\n\nSecond paragraph.\n\nFixes: 0123456789ab (\"audit: something\n that was long\")\nLink: https://example.org/1\n",
		Trailers: []Trailer{
			{"Fixes", `0123456789ab ("audit: something that was long")`, 15},
			{"Link", "https://example.org/1", 17},
		},
		Notes: "Changes in v3: none.\n\n f => g | 3 ++-\n 1 file changed, 2 insertions(+), 1 deletion(-)\n\n",
		Lines: Lines{Subject: 4, Body: 10, Notes: 18, Diff: 24, Files: []int{24}, Hunks: [][]int{{28}}},
	}
	got := *p
	got.Raw, got.Diff, got.Date = nil, nil, time.Time{}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ParsePatch (-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"f"}, p.Paths()); d != "" {
		t.Errorf("Paths (-want +got)\n%s", d)
	}
}

func TestParseSubject(t *testing.T) {
	for in, want := range map[string][2]string{
		"[PATCH] a: b":                    {"PATCH", "a: b"},
		"[PATCH v2 3/4] a: b":             {"PATCH v2 3/4", "a: b"},
		"Re: [PATCH]  [foo]:  a:   b [c]": {"PATCH foo", "a: b [c]"},
		"a":                               {"", "a"},
		"[PATCH] [unclosed":               {"PATCH", "[unclosed"},
		"=?utf-8?b?W1BBVENIXSDDpA==?=":    {"PATCH", "ä"},
		"[PATCH] =?iso-8859-1?q?=E4?= =?UTF-8?Q?=C3=B6?=": {"PATCH", "äö"},
	} {
		prefix, subject, err := parseSubject(in)
		if got := [2]string{prefix, subject}; err != nil || got != want {
			t.Errorf("parseSubject(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestParsePerson(t *testing.T) {
	for in, want := range map[string]Person{
		"A U Thor <a@example.org>":                          {"A U Thor", "a@example.org"},
		"a@example.org":                                     {"a@example.org", "a@example.org"},
		`"Doe, Jane <x> Jr." <a@example.org>`:               {"a@example.org", "a@example.org"},
		`"  ,Jane;  Doe: " <a@example.org>`:                 {"Jane; Doe", "a@example.org"},
		"=?iso-8859-1?q?J=F6rg?= =?utf-8?q?_=C3=9C?= <a@b>": {"Jörg Ü", "a@b"},
	} {
		if got, err := parsePerson(in); err != nil || got != want {
			t.Errorf("parsePerson(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestParseTrailers(t *testing.T) {
	for body, want := range map[string][]string{
		"Prose.\n\nLink: x\nFixes: y\n":                             {"Link", "Fixes"},
		"Prose.\n\nLink: x\nand prose\n":                            nil,
		"Prose.\n\n[ someone: fixed it ]\nSigned-off-by: A <a@b>\n": {"Signed-off-by"},
		"Link: x\n":                 {"Link"},
		"Link: x\n\nProse.\n":       nil,
		"Prose: with a colon\nmore": nil,
	} {
		p := &Patch{}
		p.parseTrailers(text{text: body, line: 1})
		var got []string
		for _, tr := range p.Trailers {
			got = append(got, tr.Key)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("trailers of %q (-want +got)\n%s", body, d)
		}
	}
}

// goodDiff is a diff of two files; badPatches are changes to it, or to what mbox puts around it.
const goodDiff = `diff --git a/kernel/f.c b/kernel/f.c
index 257cc56..3bd1f0e 100644
--- a/kernel/f.c
+++ b/kernel/f.c
@@ -1,3 +1,3 @@
 one
-two
+zwei
 three
@@ -10,2 +10,3 @@ func
 ten
+and a half
 eleven
diff --git a/new.c b/new.c
new file mode 100644
index 0000000..3bd1f0e
--- /dev/null
+++ b/new.c
@@ -0,0 +1,2 @@
+alpha
+beta
`

// The lines of goodDiff in mbox: diff --git 10, ---12, +++ 13, hunks 14 and 19, diff --git 23, hunk 28.
var badPatches = map[string]struct{ old, new, want string }{
	"empty":               {"*", "", `x.patch: is empty`},
	"blank":               {"*", "\n\n", `x.patch: is empty`},
	"no mbox line":        {"From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\n", "", `x.patch:1: does not start with "From <commit id> <date>"`},
	"no diff":             {"*", "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nSubject: x\n\nonly words\n", `x.patch:7: no diff`},
	"only a header":       {"*", "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n", `x.patch:3: ends within the header`},
	"NUL":                 {"+zwei", "+zw\x00ei", `x.patch:17: NUL byte`},
	"not UTF-8":           {"+zwei", "+zw\xe4i", `x.patch:17: byte 0xe4 is not UTF-8`},
	"CRLF":                {"+zwei\n", "+zwei\r\n", `x.patch:17: line ends in CR LF`},
	"no From":             {"From: Series Rig <series@seriesrig.invalid>\n", "", `x.patch:1: header without From:`},
	"no Date":             {"Date: Sat, 21 Nov 2026 10:00:00 +0000\n", "", `x.patch:1: header without Date:`},
	"no Subject":          {"Subject: [PATCH] words\n", "", `x.patch:1: header without Subject:`},
	"empty subject":       {"[PATCH] words", "[PATCH] ", `x.patch:4: subject is empty`},
	"bad From":            {"<series@seriesrig.invalid>", "series", `x.patch:2: "Series Rig series" is no address`},
	"bad Date":            {"Sat, 21 Nov 2026 10:00:00 +0000", "yesterday", `x.patch:3: "yesterday" is not a date`},
	"Date without a zone": {"10:00:00 +0000", "10:00:00 PST", `x.patch:3: "Sat, 21 Nov 2026 10:00:00 PST" is not a date`},
	"Date before 1970":    {"2026", "1926", `x.patch:3: "Sat, 21 Nov 1926 10:00:00 +0000" is before 1970`},
	"two Subjects":        {"Subject: [PATCH] words\n", "Subject: a\nSubject: b\n", `x.patch:5: second subject:`},
	"unknown charset":     {"[PATCH] words", "=?klingon?q?a?=", `x.patch:4: "=?klingon?q?a?=": mime: unhandled charset`},
	"C1 in subject":       {"[PATCH] words", "=?UTF-8?q?a=C2=9B2J?=", `x.patch:4: "=?UTF-8?q?a=C2=9B2J?=": control character 0x9b`},
	"order of letters":    {"[PATCH] words", "=?UTF-8?q?a=E2=80=AEb?=", `x.patch:4: "=?UTF-8?q?a=E2=80=AEb?=": control character 0x202e`},
	"newline in subject":  {"[PATCH] words", "=?UTF-8?q?a=0Ab?=", `x.patch:4: "=?UTF-8?q?a=0Ab?=": control character`},
	"no header line":      {"Subject: [PATCH] words\n", "Subject: [PATCH] words\nwords\n", `x.patch:5: not a header line: "words"`},
	"quoted-printable":    {"Subject: ", "Content-Transfer-Encoding: quoted-printable\nSubject: ", `x.patch:4: body is encoded (quoted-printable), refused`},
	"attachment":          {"Subject: ", "Content-Type: multipart/mixed; boundary=x\nSubject: ", `x.patch:4: content type multipart/mixed, refused`},
	"latin1":              {"Subject: ", "Content-Type: text/plain; charset=iso-8859-1\nSubject: ", `x.patch:4: charset iso-8859-1, refused`},
	"flowed":              {"Subject: ", "Content-Type: text/plain; charset=utf-8; format=flowed\nSubject: ", `x.patch:4: format=flowed, refused`},
	"in-body date":        {"Why it is so.", "Date: then\n\nWhy it is so.", `x.patch:6: "then" is not a date`},

	"cut in a hunk":          {" eleven\ndiff --git a/new.c b/new.c\n", "", `x.patch:22: hunk of line 19 does not fit its header`},
	"cut in a line":          {"+beta\n-- \n2.39.5\n\n", "+be", `x.patch:30: last line of the diff has no newline: truncated?`},
	"cut before the end":     {"+beta\n-- \n2.39.5\n\n", "", `x.patch:28: hunk is cut short: its header counts 0 old and 2 new lines, it has 0 and 1`},
	"cut at a hunk header":   {"@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n@@ -10,2 +10,3 @@ func\n ten\n+and a half\n eleven\n", "", `x.patch:10: a file's diff has --- and +++ lines and hunks, or none of them: truncated?`},
	"a line too many":        {" three\n", " three\n+four\n", `x.patch:19: line after the diff belongs to no hunk: "+four"`},
	"a line too few":         {"+zwei\n", "", `x.patch:18: hunk of line 14 does not fit its header: that counts 3 old and 3 new lines, and after 3 and 2 comes "@@ -10,2 +10,3 @@ func"`},
	"miscounted":             {"@@ -1,3 +1,3 @@", "@@ -1,2 +1,3 @@", `x.patch:14: hunk does not fit its header: that counts 2 old and 3 new lines, it has 3 and 3`},
	"bad hunk header":        {"@@ -1,3 +1,3 @@", "@@ -1,3 +1,a @@", `x.patch:14: bad hunk header`},
	"huge hunk header":       {"@@ -1,3 +1,3 @@", "@@ -1,99999999999 +1,3 @@", `x.patch:14: bad hunk header`},
	"line 0":                 {"@@ -1,3 +1,3 @@", "@@ -0,3 +0,3 @@", `x.patch:14: bad hunk header: lines are counted from 1`},
	"hunk without a change":  {"-two\n+zwei\n", " two\n", `x.patch:18: hunk contains no changes`},
	"hunks out of order":     {"@@ -10,2 +10,3 @@", "@@ -2,2 +2,3 @@", `x.patch:19: hunk overlaps the one before it`},
	"text between the files": {" eleven\n", " eleven\nsome words\n", `x.patch:23: line after the diff belongs to no hunk: "some words"`},
	"two messages":           {"2.39.5\n\n", "2.39.5\n\nFrom 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\n", `x.patch:34: a second message`},
	"no diff --git":          {"diff --git a/kernel/f.c b/kernel/f.c\nindex 257cc56..3bd1f0e 100644\n", "", `x.patch:10: diff begins with "--- a/kernel/f.c" and not with "diff --git"`},
	"unknown header":         {"new file mode 100644\n", "new file mode 100644\nmode of the day\n", `x.patch:25: not a line of a diff: "mode of the day"`},
	"binary":                 {"--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+alpha\n+beta\n", "GIT binary patch\nliteral 3\nKcmZQzU|?imU|?VX00jWp\n\n", `x.patch:26: binary patch, refused: a/new.c b/new.c`},
	"binary without data":    {"--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+alpha\n+beta\n", "Binary files /dev/null and b/new.c differ\n", `x.patch:26: binary patch, refused: a/new.c b/new.c`},
	"symbolic link":          {"new file mode 100644", "new file mode 120000", `x.patch:24: symbolic link (mode 120000), refused`},
	"submodule":              {"new file mode 100644", "new file mode 160000", `x.patch:24: submodule (mode 160000), refused`},
	"index of a link":        {"3bd1f0e 100644", "3bd1f0e 120000", `x.patch:11: symbolic link`},
	"setuid":                 {"new file mode 100644", "new file mode 104755", `x.patch:24: mode "104755", refused`},
	"no mode":                {"new file mode 100644\n", "", `x.patch:23: /dev/null without a line "new file mode"`},
	"nothing in it":          {"--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+alpha\n+beta\n", "--- /dev/null\n", `x.patch:23: a file's diff has --- and +++ lines and hunks`},

	"out of the tree":      {"a/kernel/f.c b/kernel/f.c\nindex 257cc56..3bd1f0e 100644\n--- a/kernel/f.c\n+++ b/kernel/f.c", "a/../f.c b/../f.c\nindex 257cc56..3bd1f0e 100644\n--- a/../f.c\n+++ b/../f.c", `x.patch:12: path "../f.c" leads out of the tree, refused`},
	"out of it in between": {"+++ b/new.c", "+++ b/a/../../new.c", `x.patch:27: path "a/../../new.c" leads out of the tree, refused`},
	"absolute":             {"+++ b/new.c", "+++ /etc/new.c", `x.patch:27: path "/etc/new.c" is absolute, refused`},
	"absolute in b":        {"+++ b/new.c", "+++ b//etc/new.c", `x.patch:27: path "/etc/new.c" is absolute, refused`},
	"empty component":      {"+++ b/new.c", "+++ b/a//new.c", `x.patch:27: path "a//new.c" has an empty component, refused`},
	"dot component":        {"+++ b/new.c", "+++ b/./new.c", `x.patch:27: path "./new.c" has a component ".", refused`},
	"into .git":            {"+++ b/new.c", "+++ b/.git/hooks/x", `x.patch:27: path ".git/hooks/x" leads into .git, refused`},
	"into .GIT":            {"+++ b/new.c", "+++ b/sub/.GIT/config", `x.patch:27: path "sub/.GIT/config" leads into .git, refused`},
	"into .git with a dot": {"+++ b/new.c", "+++ b/.git./config", `x.patch:27: path ".git./config" leads into .git, refused`},
	"quoted out":           {"+++ b/new.c", `+++ "b/\056\056/new.c"`, `x.patch:27: path "../new.c" leads out of the tree, refused`},
	"control character":    {"+++ b/new.c", `+++ "b/new\n.c"`, `x.patch:27: path`},
	"no prefix":            {"+++ b/new.c", "+++ new.c", `x.patch:27: name "new.c" has no b/ before it`},
	"names that differ":    {"diff --git a/new.c b/new.c", "diff --git a/new.c b/old.c", `x.patch:23: names do not agree`},
	"header out":           {"diff --git a/new.c b/new.c\nnew file mode 100644\nindex 0000000..3bd1f0e\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+alpha\n+beta\n", "diff --git a/../new.c b/../new.c\nold mode 100644\nnew mode 100755\n", `x.patch:23: path "../new.c" leads out of the tree`},
	"rename out":           {"new file mode 100644\nindex 0000000..3bd1f0e\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+alpha\n+beta\n", "similarity index 100%\nrename from new.c\nrename to ../new.c\n", `x.patch:26: path "../new.c" leads out`},
	"rename absolute":      {"new file mode 100644\nindex 0000000..3bd1f0e\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+alpha\n+beta\n", "similarity index 100%\nrename from /etc/passwd\nrename to x\n", `x.patch:25: path "/etc/passwd" is absolute`},
	"copy of another":      {"diff --git a/new.c b/new.c\nnew file mode 100644\nindex 0000000..3bd1f0e\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+alpha\n+beta\n", "diff --git a/old.c b/new.c\n--- a/other.c\n+++ b/new.c\ncopy from old.c\ncopy to new.c\n@@ -1 +1 @@\n-alpha\n+beta\n", `x.patch:23: names do not agree: other.c is neither old.c nor new.c`},
	"same file twice":      {"diff --git a/new.c b/new.c\nnew file mode 100644\nindex 0000000..3bd1f0e\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+alpha\n+beta\n", "diff --git a/kernel/f.c b/kernel/f.c\nold mode 100644\nnew mode 100755\n", `x.patch:23: kernel/f.c is changed twice (first in line 10)`},
	"mode without a new":   {"index 257cc56..3bd1f0e 100644\n--- a/kernel", "old mode 100644\nindex 257cc56..3bd1f0e\n--- a/kernel", `x.patch:10: "old mode" and "new mode" come together`},
}

func TestParsePatchRefuses(t *testing.T) {
	for name, tc := range badPatches {
		t.Run(name, func(t *testing.T) {
			s := mbox("words", goodDiff)
			switch {
			case tc.old == "*":
				s = tc.new
			case strings.Count(s, tc.old) != 1:
				t.Fatalf("%q stands %d times in the patch, want once", tc.old, strings.Count(s, tc.old))
			default:
				s = strings.Replace(s, tc.old, tc.new, 1)
			}
			_, err := ParsePatch("x.patch", []byte(s))
			wantError(t, err, "", "", tc.want)
		})
	}
	if _, err := ParsePatch("x.patch", []byte(mbox("words", goodDiff))); err != nil {
		t.Errorf("the patch that all these are made of: %v", err)
	}
}

func TestParsePatchHunkLimit(t *testing.T) {
	var b strings.Builder
	b.WriteString("diff --git a/f b/f\nindex 257cc56..3bd1f0e 100644\n--- a/f\n+++ b/f\n")
	for i := range maxHunks + 1 {
		fmt.Fprintf(&b, "@@ -%d +%d @@\n-a\n+b\n", 10*i+1, 10*i+1)
	}
	_, err := ParsePatch("x.patch", []byte(mbox("many", b.String())))
	wantError(t, err, "", "x.patch:", "more than 10000 hunks, which is the limit")
}

// TestDiffstatTells cuts a patch between two files, where all counts fit and only the diffstat and the missing end tell.
func TestDiffstatTells(t *testing.T) {
	whole := strings.Replace(mbox("words", goodDiff), " a stat | 1 +\n", " kernel/f.c | 3 +-\n new.c | 2 ++\n 2 files changed, 4 insertions(+), 1 deletion(-)\n", 1)
	if _, err := ParsePatch("x.patch", []byte(whole)); err != nil {
		t.Fatal(err)
	}
	_, err := ParsePatch("x.patch", []byte(strings.TrimSuffix(whole, "-- \n2.39.5\n\n")))
	if err != nil {
		t.Errorf("without the end, but complete: %v", err)
	}
	cut := whole[:strings.Index(whole, "diff --git a/new.c")]
	_, err = ParsePatch("x.patch", []byte(cut))
	wantError(t, err, "", "x.patch:24: ", "truncated? the diffstat counts 2 files, 4 insertions and 1 deletions, the diff has 1, 2 and 1")
	// And between two hunks.
	cut = whole[:strings.Index(whole, "@@ -10,2")]
	_, err = ParsePatch("x.patch", []byte(cut))
	wantError(t, err, "", "x.patch:", "truncated?")
}

// TestEveryCut cuts a patch after every byte. Whatever is left of the diff must not pass for a patch, but for what
// comes after the diff's last byte.
func TestEveryCut(t *testing.T) {
	whole := strings.Replace(mbox("words", goodDiff), " a stat | 1 +\n", " 2 files changed, 4 insertions(+), 1 deletion(-)\n", 1)
	end := strings.Index(whole, "+beta\n") + len("+beta\n")
	for i := range len(whole) {
		p, err := ParsePatch("x.patch", []byte(whole[:i]))
		if i < end && err == nil {
			t.Errorf("cut after %d of %d bytes passes: %q", i, len(whole), whole[max(0, i-30):i])
		}
		if err == nil && len(p.Diff) != 2 {
			t.Errorf("cut after %d bytes: %d files", i, len(p.Diff))
		}
	}
}

// TestOurSeries reads the series of this repository.
func TestOurSeries(t *testing.T) {
	all, err := Loader{Arches: []string{"amd64", "ppc64", "ppc64le"}}.List(".")
	if err != nil {
		t.Error(err)
	}
	for _, s := range all {
		for _, p := range s.Patches {
			raw, err := os.ReadFile(filepath.Join(s.ID, filepath.Base(p.File)))
			if err != nil || string(raw) != string(p.Raw) {
				t.Errorf("%s: Raw is not the file: %v", p.File, err)
			}
		}
	}
}

// TestOurSeriesOnItsBase applies the series of this repository to the kernel source, and compares the files after each
// patch with what git apply makes of the same patches.
func TestOurSeriesOnItsBase(t *testing.T) {
	tree := need.Source(t)
	all, err := List(".")
	if err != nil || len(all) == 0 {
		t.Fatalf("List = %v, %v", all, err)
	}
	for _, s := range all {
		src, err := Dir(tree)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		res, err := Apply(src, s.Patches)
		if err != nil {
			t.Errorf("%s: %+v", s.ID, err)
			continue
		}
		base := Map{}
		for _, p := range s.Patches {
			for _, name := range p.Paths() {
				if f := res.Base(name); f != nil {
					base[name] = f
				}
			}
		}
		for n := range len(s.Patches) + 1 {
			want, ok, said := gitApply(t, base, s.Patches[:n]...)
			if !ok {
				t.Errorf("%s: git apply refuses: %s", s.ID, said)
				break
			}
			if got := treeText(after(base, res, n)); got != treeText(want) {
				t.Errorf("%s: after patch %d the files are not what git apply makes of them", s.ID, n)
			}
		}
		t.Logf("%s: %d patches, moved hunks: %v", s.ID, len(s.Patches), res.Moved())
	}
}
