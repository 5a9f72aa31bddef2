// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"errors"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches"
)

const small = `List of maintainers

Descriptions

	M: *Mail* patches to
	F: *Files*

# a comment: it ends nothing
FIRST SUBSYSTEM WHOSE HEADING IS RATHER LONG, BY FIFTY AND MORE
M:	Ann Bell <ann@example.org>
R:	"Q. Uoted" <q@example.org>
L:	first@lists.example.org
L:	closed@lists.example.org (subscribers-only)
L:	slow@lists.example.org (moderated for non-subscribers)
S:	Supported
P:	Documentation/process/maintainer-tip.rst
T:	git git://example.org/first.git

F:	first/
F:	first?.[ch]
X:	first/not/
K:	\bfirst_[a-z]+\b

SECOND
M:	Ann Bell <other@example.org>
M:	Cho Dee <cho@example.org>, Eve Fox <eve@example.org>
R:	Gil, Hal & Sons <gil@example.org> (only, Tuesdays)
S:	Odd Fixes
F:	second
F:	*/second/*.c
N:	[^a-z]two $ # with a comment
K:	s e c o n d \  x

ORPHAN
S:	Orphan
F:	lonely.c

THE REST
M:	Linus Torvalds <torvalds@linux-foundation.org>
L:	linux-kernel@vger.kernel.org
S:	Buried alive in reporters
F:	*
F:	*/
`

func parse(t testing.TB, text string) *File {
	t.Helper()
	f, err := Parse("MAINTAINERS", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func show(found []Recipient) string {
	var b strings.Builder
	for _, r := range found {
		b.WriteString(r.Address.String() + " " + string(r.Role) + ": " + strings.Join(r.Reasons, "; ") + "\n")
	}
	return b.String()
}

func TestPaths(t *testing.T) {
	const rest = "<linux-kernel@vger.kernel.org> list: open list\n"
	const long = "FIRST SUBSYSTEM WHOSE HEADING IS RATHER LONG, B..."
	const first = `"Ann Bell" <ann@example.org> maintainer: supporter:` + long + "\n" + `"Q. Uoted" <q@example.org> reviewer: reviewer:` + long + "\n" +
		"<first@lists.example.org> list: open list:" + long + "\n<slow@lists.example.org> list: moderated list:" + long + "\n"
	const second = `"Ann Bell" <other@example.org> maintainer: odd fixer:SECOND` + "\n" + `"Cho Dee" <cho@example.org> maintainer: odd fixer:SECOND` + "\n" +
		`"Eve Fox" <eve@example.org> maintainer: odd fixer:SECOND` + "\n" + `"Gil, Hal & Sons" <gil@example.org> reviewer: reviewer:SECOND` + "\n"
	tree := patches.Map{"second/x.c": {}, "secondary/x.c": {}}
	for path, want := range map[string]string{
		"first/a.c":           first + rest,
		"first/deep/er/a.c":   first + rest,
		"first/not/a.c":       rest,
		"first":               rest,
		"firsta.c":            first + rest,
		"firsta.cc":           first + rest, // patterns are bound to the start of a path only
		"firsta.o":            rest,
		"second/x.c":          second + rest, // a folder of the tree, without its slash
		"second/y/z":          second + rest,
		"secondary/x.c":       rest,
		"seconds":             rest,
		"a/second/x.c":        second + rest,
		"a/second/y/x.c":      rest, // another number of slashes
		"drivers/7two":        second + rest,
		"drivers/two":         second + rest,
		"drivers/atwo":        rest,
		"drivers/7two.c":      rest,
		"lonely.c":            rest,
		"":                    rest,
		"../../etc/passwd":    rest,
		"no/such/path at all": rest,
	} {
		f := &Finder{File: parse(t, small), Tree: tree}
		if d := cmp.Diff(want, show(f.Paths(path))); d != "" {
			t.Errorf("Paths(%q) (-want +got):\n%s", path, d)
		}
	}
	f := &Finder{File: parse(t, small), Tree: tree, Subscribers: true}
	if got := show(f.Paths("first/a.c", "second/x.c")); !strings.Contains(got, "closed@lists.example.org> list: subscriber list:") ||
		strings.Contains(got, "other@") || !strings.Contains(got, "supporter:"+long+"; odd fixer:SECOND") {
		t.Errorf("Paths of both = %s", got)
	}
}

// What a patch says finds sections too; only changed lines count once the diff has begun.
func TestKeywords(t *testing.T) {
	f := &Finder{File: parse(t, small)}
	for diff, want := range map[string]string{
		"+\tfirst_thing();\n":       "Ann Bell",
		"-\tfirst_thing();\n":       "Ann Bell",
		" \tfirst_thing();\n":       "",
		"+\tfirst_9();\n":           "",
		"+ xsecond x\n":             "Ann Bell Cho Dee Eve Fox Gil, Hal & Sons",
		"+ s e c o n d x\n":         "",
		"@@ -1,2 +3,4 @@ first_x\n": "",
	} {
		text := "From: x\nSubject: y\n\n---\n--- a/else/where.c\n+++ b/else/where.c\n@@ -1 +1 @@\n" + diff
		var names []string
		for _, r := range f.Patch(&patches.Patch{Raw: []byte(text)}) {
			if r.Role == Keyword && r.Address.Name != "Q. Uoted" {
				names = append(names, r.Address.Name)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: keywords find %q, want %q", diff, got, want)
		}
	}
	s := f.scan("first_message\n")
	if len(s.hits) != 1 || len(s.paths) != 0 {
		t.Errorf("a keyword in the message: %d hits, paths %q; want 1 and none", len(s.hits), s.paths)
	}
}

func TestSection(t *testing.T) {
	f := parse(t, small)
	var names []string
	for _, s := range f.Sections {
		names = append(names, s.Name)
	}
	if want := []string{"FIRST SUBSYSTEM WHOSE HEADING IS RATHER LONG, BY FIFTY AND MORE", "SECOND", "ORPHAN", "THE REST"}; !slices.Equal(names, want) {
		t.Errorf("sections = %q, want %q", names, want)
	}
	s := f.Sections[0]
	if got := s.Values('P'); !slices.Equal(got, []string{"Documentation/process/maintainer-tip.rst"}) || s.Status() != "Supported" || s.Line != 9 {
		t.Errorf("P = %q, status = %q, line = %d", got, s.Status(), s.Line)
	}
	if len(f.Warnings) > 0 {
		t.Errorf("warnings: %v", f.Warnings)
	}
}

// What cannot be used is said with its line, and the rest of the file is used.
func TestWarnings(t *testing.T) {
	for entry, want := range map[string]string{
		"M:\tNobody":                             `MAINTAINERS:2: M: "" is no mail address`,
		"R:\tX <x@y@z>":                          `MAINTAINERS:2: R: "x@y@z" is no mail address`,
		"M:\tX <a@b.c> , Bcc: <d@e.f":            "",
		"M:\tX <x@example.org,y@example.org>":    `is no mail address`,
		"M:\tX <-x@-example.org>":                `is no mail address`,
		"L:\tA List <l@example.org>":             `MAINTAINERS:2: L: "A List <l@example.org>" does not begin with a mail address`,
		"K:\t(?=look)ahead":                      `MAINTAINERS:2: K: regular expression "(?=look)ahead" cannot be used`,
		"K:\t(?<!behind)x":                       `cannot be used`,
		"K:\t(a)\\1":                             `cannot be used: not supported: \1`,
		"K:\ta++":                                `cannot be used`,
		"K:\t[a\\Wb]":                            `cannot be used`,
		"N:\t(":                                  `N: regular expression "(" cannot be used`,
		"F:\ta(b":                                `F: pattern "a(b" cannot be used`,
		"X:\t[z-a]":                              `X: pattern "[z-a]" cannot be used`,
		"F:\tarch/(arm|arm64)/include+":          "",
		"K:\t(?i:clang|llvm)\\s[]x-]+\\d$ # ok":  "",
		"M:\t\"Quoted, \\\"Name\\\"\" <q@e.org>": "",
	} {
		f := parse(t, "HEAD\n"+entry+"\nM:\tOk <ok@example.org>\nF:\t*\n")
		got := ""
		for _, w := range f.Warnings {
			got += w.String() + "\n"
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: warnings %q, want %q", entry, got, want)
		}
		if found := show((&Finder{File: f}).Paths("x")); !strings.Contains(found, "ok@example.org") {
			t.Errorf("%q: the rest of the section is lost: %s", entry, found)
		}
	}
	if f := parse(t, "M:\tEarly <e@example.org>\n"); len(f.Warnings) != 1 || len(f.Sections) != 0 {
		t.Errorf("an entry before any heading: %v, %d sections", f.Warnings, len(f.Sections))
	}
}

func TestParseBad(t *testing.T) {
	for text, want := range map[string]string{
		"A\nM:\tX\x1b[31m <x@example.org>\n":         "M:2: control character U+001B",
		"A\r\nM:\tX <x@example.org>\r\n":             "M:1: control character U+000D",
		"A\n\x00":                                    "M:2: control character U+0000",
		"A\nM:\tJ\xf6rg <j@example.org>\n":           "M:2: byte 0xf6 is not UTF-8",
		"A\nM:\tX \u202egro.elpmaxe <x@example.org>": "M:2: control character U+202E",
		strings.Repeat("x", maxFile+1):               "M: is larger than 16 MiB",
	} {
		_, err := Parse("M", strings.NewReader(text))
		var input *patches.InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.20q) = %v, want %q", text, err, want)
		}
	}
}

func TestMailmap(t *testing.T) {
	m, err := ParseMailmap(".mailmap", strings.NewReader(`# comment
Real Name <only@example.org>
<new@example.org> <old@example.org>
Full Name <full@example.org> <nick@example.org>
One Self <one@example.org> Other Self <shared@example.org>
<no address> <x@example.org>
garbage
`))
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"Nick <only@example.org>":         "Real Name <only@example.org>",
		"Any One <old@example.org>":       "Any One <new@example.org>",
		"nick <nick@example.org>":         "Full Name <full@example.org>",
		"Other Self <shared@example.org>": "One Self <one@example.org>",
		"Third Self <shared@example.org>": "Third Self <shared@example.org>",
		"X <x@example.org>":               "X <x@example.org>",
	} {
		if got := m.apply(parseEmail(in)).String(); got != want {
			t.Errorf("apply(%q) = %q, want %q", in, got, want)
		}
	}
}

func patch(t testing.TB, message, diff string) *patches.Patch {
	t.Helper()
	p, err := patches.ParsePatch("x.patch", []byte("From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nSubject: [PATCH] x\n\n"+message+"---\n"+diff))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A series that adds an entry is sent by it from that patch on; the cover letter goes to everybody; stable@ stays a
// trailer.
func TestPlan(t *testing.T) {
	tree := patches.Map{"MAINTAINERS": {Data: []byte("OLD\nM:\tOld <old@example.org>\nF:\ta.c\n"), Mode: 0o644}, "a.c": {Data: []byte("1\n"), Mode: 0o644}}
	ps := []*patches.Patch{
		patch(t, "Why.\n\nCc: stable@vger.kernel.org # 6.12+\nReported-by: \"Re, Porter\" <re@example.org>\nCc: Cee <cee@example.org>\nLink: <not@for.mail>\n", "diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-1\n+2\n"),
		patch(t, "Why.\n", "diff --git a/MAINTAINERS b/MAINTAINERS\n--- a/MAINTAINERS\n+++ b/MAINTAINERS\n@@ -1,3 +1,7 @@\n+NEW\n+M:\tNew <new@example.org>\n+F:\tnew/\n+\n OLD\n M:\tOld <old@example.org>\n F:\ta.c\n"),
		patch(t, "Why.\n", "diff --git a/new/b.c b/new/b.c\nnew file mode 100644\n--- /dev/null\n+++ b/new/b.c\n@@ -0,0 +1 @@\n+1\n"),
	}
	applied, err := patches.Apply(tree, ps)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Planner{Tree: tree, Applied: applied}.Plan(ps)
	if err != nil {
		t.Fatal(err)
	}
	const one = "\"Old\" <old@example.org> maintainer: unknown:OLD\n\"Re, Porter\" <re@example.org> trailer: Reported-by trailer\n\"Cee\" <cee@example.org> trailer: Cc trailer\n"
	const three = "\"New\" <new@example.org> maintainer: unknown:NEW\n"
	for i, want := range []string{one, "", three} {
		if d := cmp.Diff(want, show(plan.Patches[i])); d != "" {
			t.Errorf("patch %d (-want +got):\n%s", i+1, d)
		}
	}
	if d := cmp.Diff(one+three, show(plan.Cover)); d != "" {
		t.Errorf("cover (-want +got):\n%s", d)
	}
	for name, bad := range map[string]mail.Address{"address": {Address: "x@y>, <z@w"}, "name": {Name: "x\nBcc: y@z.w", Address: "x@y.z"}, "none": {}} {
		if err := plan.Add(2, bad, Blamed, "x"); err == nil || len(plan.Patches[1]) > 0 {
			t.Errorf("%s: Add = %v, patch 2 goes to %s", name, err, show(plan.Patches[1]))
		}
	}
	if err := plan.Add(2, mail.Address{Name: "Bl. Amed", Address: "blamed@example.org"}, Blamed, "author of x"); err != nil {
		t.Error(err)
	}
	if err := plan.Add(2, mail.Address{Address: "OLD@example.org"}, Blamed, "author of y"); err != nil {
		t.Error(err)
	}
	const two = "\"Bl. Amed\" <blamed@example.org> blamed: author of x\n"
	if d := cmp.Diff(two+"<OLD@example.org> blamed: author of y\n", show(plan.Patches[1])); d != "" {
		t.Errorf("patch 2, with additions (-want +got):\n%s", d)
	}
	if d := cmp.Diff(strings.Replace(one, "unknown:OLD", "unknown:OLD; author of y", 1)+three+two, show(plan.Cover)); d != "" {
		t.Errorf("cover, with additions (-want +got):\n%s", d)
	}
	plan, err = Planner{Tree: tree, Stable: true}.Plan(ps[:1])
	if err != nil {
		t.Fatal(err)
	}
	if got := show(plan.Cover); !strings.Contains(got, "<stable@vger.kernel.org> trailer: Cc trailer") || strings.Contains(got, "not@for.mail") {
		t.Errorf("with stable@: %s", got)
	}
	if _, err := (Planner{Tree: patches.Map{}}).Plan(ps); err == nil {
		t.Error("a tree without MAINTAINERS is accepted")
	}
}

func TestHeaders(t *testing.T) {
	r := func(address string, role Role) Recipient {
		return Recipient{Address: mail.Address{Address: address}, Role: role}
	}
	to, cc := Headers([]mail.Address{{Address: "list@x.y"}}, []mail.Address{{Name: "Chosen", Address: "m@x.y"}},
		[]Recipient{r("M@x.y", Maintainer), r("n@x.y", Maintainer), r("r@x.y", Reviewer), r("list@x.y", List), r("l@x.y", List)})
	got := ""
	for _, a := range to {
		got += "to " + a.Address + "\n"
	}
	for _, a := range cc {
		got += "cc " + a.Address + "\n"
	}
	if want := "to list@x.y\nto n@x.y\ncc m@x.y\ncc r@x.y\ncc l@x.y\n"; got != want {
		t.Errorf("Headers = %q, want %q", got, want)
	}
}

// Whatever the file says, an answer has only addresses that can stand in a header.
func FuzzParse(f *testing.F) {
	f.Add(small, "first/a.c")
	f.Add("A\nM:\tX <x@y.z>\nF:\t[a-\nF:\t*a*b*c*?\nN:\t(?i)[]]\nK:\t\\\n", "aabbcc")
	f.Add("A\nM:\t\"a\\\"b\" <x@y.z>, <x2@y.z>\nL:\tl@m.n (moderated)\nF:\t*/\nF:\t*", "x")
	f.Fuzz(func(t *testing.T, text, path string) {
		file, err := Parse("M", strings.NewReader(text))
		if err != nil {
			return
		}
		m, err := ParseMailmap("m", strings.NewReader(text))
		if err != nil {
			t.Fatalf("Parse takes a text that ParseMailmap refuses: %v", err)
		}
		finder := &Finder{File: file, Mailmap: m, Tree: patches.Map{path: {Data: []byte(text)}}}
		for _, found := range [][]Recipient{finder.Paths(path, path+".yaml"), finder.Patch(&patches.Patch{Raw: []byte("+++ b/" + path + "\n+" + text)})} {
			for _, r := range found {
				if strings.ContainsFunc(r.Address.Name+r.Address.Address, unprintable) ||
					strings.ContainsFunc(strings.Join(r.Reasons, ""), func(c rune) bool { return c != '\t' && unprintable(c) }) {
					t.Errorf("control character in %q", r)
				}
				list, err := mail.ParseAddressList(r.Address.String())
				if err != nil || len(list) != 1 || list[0].Address != r.Address.Address {
					t.Errorf("%q is read back as %v, %v", r.Address, list, err)
				}
				if len(r.Reasons) == 0 || r.Role == "" {
					t.Errorf("%v has no reason", r)
				}
			}
		}
	})
}
