// SPDX-License-Identifier: Apache-2.0

package sent

import (
	"bytes"
	"errors"
	"fmt"
	netmail "net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

var (
	jane = netmail.Address{Name: "Jane \n<Sender>", Address: "jane@example.org"}
	when = time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
)

// patch changes line at of a file to text.
func patch(t testing.TB, n int, file string, at int, text, body string) *patches.Patch {
	t.Helper()
	var diff strings.Builder
	fmt.Fprintf(&diff, "diff --git a/%s b/%s\nindex 0123456789ab..ba9876543210 100644\n--- a/%s\n+++ b/%s\n@@ -%d,7 +%d,7 @@ a function\n", file, file, file, file, at-3, at-3)
	for i := at - 3; i <= at+3; i++ {
		if i == at {
			fmt.Fprintf(&diff, "-line %d\n+%s\n", i, text)
		} else {
			fmt.Fprintf(&diff, " line %d\n", i)
		}
	}
	raw := fmt.Sprintf("From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A Uthor <a@example.org>\nDate: Fri, 2 Jan 2026 03:04:05 +0100\nSubject: [PATCH] f: change %s:%d\n\n%s---\n\n%s-- \n2.39.5\n",
		file, at, body, diff.String())
	p, err := patches.ParsePatch(fmt.Sprintf("%04d-x.patch", n), []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	p.Number = n
	return p
}

func trial(t testing.TB) *patches.Series {
	t.Helper()
	return &patches.Series{ID: "trial", Title: "trial", Revision: 1, Prefix: "PATCH", Base: "debian:linux-source-6.12", Dir: "patches/trial",
		Cover:   patches.Cover{Subject: "trial", Body: "Why.\n"},
		Patches: []*patches.Patch{patch(t, 1, "a/f.c", 100, "one", "First.\n"), patch(t, 2, "a/f.c", 200, "two", "Second.\n"), patch(t, 3, "g.c", 50, "three", "Third.\n")}}
}

func mbox(t testing.TB, o mail.Options) []byte {
	t.Helper()
	o.Version = "test"
	th, err := mail.Render(o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := th.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	need.Tool(t, "git")
	cmd := exec.Command("git", append([]string{"--git-dir", dir}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestStore(t *testing.T) {
	s := trial(t)
	store := Store{filepath.Join(t.TempDir(), "deep", "sent.git")}
	if _, err := store.Get("trial", 1); !errors.Is(err, ErrNotSent) {
		t.Errorf("Get from nothing = %v, want ErrNotSent", err)
	}
	first := mbox(t, mail.Options{Series: s, From: netmail.Address{Name: "Jörg", Address: "j@example.org"}, Signoff: &netmail.Address{Name: "J", Address: "j@example.org"}})
	tag, err := store.Record("", first, jane, when)
	if err != nil || tag != "trial/v1" {
		t.Fatalf("Record = %q, %v", tag, err)
	}
	// The same again is no change, anything else is refused.
	if _, err := store.Record("", first, jane, when.Add(time.Hour)); err != nil {
		t.Errorf("Record again = %v", err)
	}
	if _, err := store.Record("", bytes.Replace(first, []byte("Why."), []byte("Why!"), 1), jane, when); !errors.Is(err, ErrSentOtherwise) {
		t.Errorf("Record of other messages = %v, want ErrSentOtherwise", err)
	}
	v, err := store.Get("trial", 1)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(v.Mbox, first) || len(v.Patches) != 3 || !v.When.Equal(when) {
		t.Errorf("Get = %d bytes, %d patches, sent %s; want %d, 3, %s", len(v.Mbox), len(v.Patches), v.When, len(first), when)
	}
	s.Patches[1] = patch(t, 2, "a/f.c", 200, "zwei", "Second.\n")
	if _, err := store.Record("", mbox(t, mail.Options{Series: s, Revision: 2}), jane, when); err != nil {
		t.Fatal(err)
	}
	if got, err := store.List("trial"); err != nil || !slices.Equal(got, []int{1, 2}) {
		t.Errorf("List = %v, %v, want 1 and 2", got, err)
	}
	if got, err := store.List("other"); err != nil || len(got) > 0 {
		t.Errorf("List of another = %v, %v", got, err)
	}
	// It is a repository like any other.
	git(t, store.GitDir, "fsck", "--full", "--strict")
	git(t, store.GitDir, "gc", "-q", "--prune=now")
	if v, err := store.Get("trial", 1); err != nil || !bytes.Equal(v.Mbox, first) {
		t.Errorf("after git gc: %v", err)
	}
	text := git(t, store.GitDir, "range-diff", "--no-color", "trial/v1^~3..trial/v1^", "trial/v2^~3..trial/v2^")
	if !strings.Contains(text, "    -+two\n") || !strings.Contains(text, "    ++zwei\n") || strings.Count(text, " = ") != 2 {
		t.Errorf("git range-diff of the tags:\n%s", text)
	}
	if who := git(t, store.GitDir, "for-each-ref", "--format=%(taggername) %(taggeremail)", "refs/tags/trial/v1"); who != "Jane Sender <jane@example.org>\n" {
		t.Errorf("tagger is %q", who)
	}
}

func TestRecordRefuses(t *testing.T) {
	store := Store{filepath.Join(t.TempDir(), "sent.git")}
	good := string(mbox(t, mail.Options{Series: trial(t)}))
	for name, text := range map[string]string{
		"nothing":     "",
		"other id":    strings.ReplaceAll(good, "trial-v1", "x"),
		"other part":  strings.Replace(good, "Message-Id: <trial-v1-2", "Message-Id: <trial-v2-2", 1),
		"missing":     good[:strings.LastIndex(good, "From series ")],
		"broken":      strings.Replace(good, "+two\n", "+two\n+three\n", 1),
		"other order": strings.Replace(strings.Replace(good, "[PATCH 1/3]", "[PATCH 9/3]", 1), "[PATCH 2/3]", "[PATCH 1/3]", 1),
	} {
		if tag, err := store.Record("", []byte(text), jane, when); err == nil {
			t.Errorf("%s: recorded as %s", name, tag)
		}
	}
	if got, _ := store.List("trial"); len(got) > 0 {
		t.Errorf("recorded is %v", got)
	}
}

// The thread of another program is one of the series that it is said to be.
func TestRecordForeign(t *testing.T) {
	store := Store{filepath.Join(t.TempDir(), "sent.git")}
	own := string(mbox(t, mail.Options{Series: trial(t), Revision: 3}))
	text := strings.ReplaceAll(own, "<trial-v3-", "<20260102030405.12345-")
	if _, err := store.Record("", []byte(text), jane, when); err == nil {
		t.Error("recorded without a series")
	}
	if tag, err := store.Record("mine", []byte(text), jane, when); err != nil || tag != "mine/v3" {
		t.Errorf("Record = %q, %v, want mine/v3", tag, err)
	}
	if v, err := store.Get("mine", 3); err != nil || string(v.Mbox) != text {
		t.Errorf("Get = %v", err)
	}
	for name, tc := range map[string][2]string{"other series": {"mine", own}, "two versions": {"mine", strings.Replace(text, "[PATCH v3 2/3]", "[PATCH v2 2/3]", 1)}, "bad id": {"../x", text},
		"no patch": {"mine", strings.Replace(text, "[PATCH v3 0/3]", "Hello", 1)}} {
		if tag, err := store.Record(tc[0], []byte(tc[1]), jane, when); err == nil {
			t.Errorf("%s: recorded as %s", name, tag)
		}
	}
}

func TestFind(t *testing.T) {
	need.Tool(t, "git")
	dir := t.TempDir()
	if got := Find(t.Context(), dir, "fallback"); got.GitDir != "fallback" {
		t.Errorf("Find outside of a repository = %v", got)
	}
	git(t, filepath.Join(dir, ".git"), "init", "-q")
	sub := filepath.Join(dir, "patches")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, want := Find(t.Context(), sub, "fallback").GitDir, filepath.Join(dir, ".git"); got != want {
		t.Errorf("Find = %s, want %s", got, want)
	}
}

// The change log has to be that of the patches.
func TestCheckChanges(t *testing.T) {
	need.Tool(t, "git")
	before := trial(t).Patches
	for name, tc := range map[string]struct {
		change  func(s *patches.Series)
		changes []patches.Changes
		want    []string // errors
	}{
		"all the same": {changes: entries("reworded the cover letter", nil)},
		"no log":       {want: []string{"there is no [[changes]] with revision = 2"}},
		"changed": {change: func(s *patches.Series) { s.Patches[1] = patch(t, 2, "a/f.c", 200, "zwei", "Second.\n") },
			changes: entries("x", map[int][]string{2: {"say it in German"}})},
		"changed, unsaid": {change: func(s *patches.Series) { s.Patches[1] = patch(t, 2, "a/f.c", 200, "zwei", "Second.\n") },
			changes: entries("x", nil), want: []string{"patch 2 is changed since v1, and patches.0002 says nothing of it"}},
		"reworded, unsaid": {change: func(s *patches.Series) { s.Patches[2] = patch(t, 3, "g.c", 50, "three", "Third, really.\n") },
			changes: entries("x", nil), want: []string{"patch 3 is changed"}},
		"said, unchanged": {changes: entries("x", map[int][]string{1: {"renamed it"}}), want: []string{`patch 1 is as it was in v1, but "renamed it" is said of it`}},
		"new, unsaid": {change: func(s *patches.Series) { s.Patches = append(s.Patches, patch(t, 4, "h.c", 10, "four", "Fourth.\n")) },
			changes: entries("x", nil), want: []string{"patch 4 is new since v1"}},
		"gone": {change: func(s *patches.Series) { s.Patches = s.Patches[:2] }, changes: entries("dropped the third", nil)},
		"signed off": {change: func(s *patches.Series) {
			s.Patches[0] = patch(t, 1, "a/f.c", 100, "one", "First.\n\nSigned-off-by: J <j@example.org>\n")
		}, changes: entries("x", nil)},
	} {
		t.Run(name, func(t *testing.T) {
			s := trial(t)
			s.Changes = tc.changes
			if tc.change != nil {
				tc.change(s)
			}
			text, pairs, err := RangeDiff(t.Context(), before, s.Patches)
			if err != nil {
				t.Fatal(err)
			}
			err = CheckChanges(s, 2, 1, pairs)
			if len(tc.want) == 0 && err != nil {
				t.Errorf("CheckChanges = %v\n%s", err, text)
			}
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("CheckChanges = %v, want %q\n%s", err, want, text)
				}
			}
		})
	}
}

func entries(series string, byPatch map[int][]string) []patches.Changes {
	return []patches.Changes{{Revision: 2, Series: []string{series}, Patches: byPatch}}
}

// The commits that are made of the patches alone have the patches as their diffs.
func TestSkeleton(t *testing.T) {
	s := trial(t)
	store := Store{filepath.Join(t.TempDir(), "git")}
	if err := store.make(); err != nil {
		t.Fatal(err)
	}
	base, ids, err := (&writer{st: store.open()}).commits(s.Patches)
	if err != nil {
		t.Fatal(err)
	}
	parent := base
	for i, id := range ids {
		got := git(t, store.GitDir, "diff", "--no-color", parent.String(), id.String())
		want := string(s.Patches[i].Raw[bytes.Index(s.Patches[i].Raw, []byte("diff --git")):bytes.LastIndex(s.Patches[i].Raw, []byte("-- \n"))])
		if d := cmp.Diff(hunks(want), hunks(got)); d != "" {
			t.Errorf("patch %d (-patch +commit):\n%s", i+1, d)
		}
		parent = id
	}
}

// hunks are the lines of a diff without hashes and function names.
func hunks(diff string) []string {
	var out []string
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "index "):
		case strings.HasPrefix(line, "@@ "):
			out = append(out, strings.Join(strings.Fields(line)[:4], " "))
		default:
			out = append(out, line)
		}
	}
	return out
}

// What git format-patch -C writes is compared, too.
func TestRangeDiffOfCopies(t *testing.T) {
	need.Tool(t, "git")
	series := func(from, text string) []*patches.Patch {
		t.Helper()
		ps := trial(t).Patches
		raw := string(patch(t, 2, "a/h.c", 100, text, "Copy it.\n").Raw)
		raw = strings.Replace(raw, "diff --git a/a/h.c b/a/h.c\nindex", "diff --git a/"+from+" b/a/h.c\nsimilarity index 90%\ncopy from "+from+"\ncopy to a/h.c\nindex", 1)
		raw = strings.Replace(raw, "--- a/a/h.c\n", "--- a/"+from+"\n", 1)
		p, err := patches.ParsePatch("0002-x.patch", []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if !p.Diff[0].IsCopy {
			t.Fatal("the patch copies nothing")
		}
		ps[1] = p
		return append(ps, patch(t, 4, "a/h.c", 300, "four", "And change the copy.\n"))
	}
	before := series("a/f.c", "two")
	for name, c := range map[string]struct {
		after  []*patches.Patch
		status string
		show   string
	}{
		"the same":       {series("a/f.c", "two"), "====", ""},
		"another line":   {series("a/f.c", "deux"), "=!==", "-+deux|++deux"},
		"another source": {series("g.c", "two"), "=!==", "[copies g.c to a/h.c]"},
	} {
		text, pairs, err := RangeDiff(t.Context(), before, c.after)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := ""
		for _, p := range pairs {
			got += string(p.Status)
		}
		shown := c.show == ""
		for _, s := range strings.Split(c.show, "|") {
			shown = shown || strings.Contains(text, s)
		}
		if got != c.status || !shown {
			t.Errorf("%s: range-diff says %s, want %s with %q:\n%s", name, got, c.status, c.show, text)
		}
	}
}
