// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// cases are histories that a mail could spoil.
var cases = map[string][]change{
	"plain": {
		{write: map[string]string{"a.c": "one\n2\n3\n"}, subject: "a: change one", body: "Why.\n\nLink: https://example.org/1\n"},
		{write: map[string]string{"b.c": "new\n"}, subject: "b: add"},
	},
	"from-lines": {
		{write: map[string]string{"a.c": "From here\n>From there\n3\n"}, subject: "a: from",
			body: "From here on it is said:\n\n>From the past\n>>From further\nFrom me@x Mon Sep 17 00:00:00 2001\n\nEnd.\n"},
		{write: map[string]string{"b.c": "2\n"}, subject: "b: after it", body: "Plain.\n"},
	},
	"long-from": {
		{write: map[string]string{"a.c": "x\n" + strings.Repeat("From y", 300) + "\n"}, subject: "a: long lines", body: strings.Repeat("word From > ", 200) + "end\n"},
	},
	"headers-in-body": {
		{write: map[string]string{"a.c": "1\n2\n"}, subject: "a: one", body: "Subject: is a word\n\nMore.\n"},
		{write: map[string]string{"a.c": "1\n2\n4\n"}, subject: "a: two", body: "From: the start of a sentence\nand more.\n"},
		{write: map[string]string{"a.c": "1\n2\n5\n"}, subject: "a: three", body: "Date: today\n"},
	},
	"authors": {
		{author: patches.Person{Name: "Jörg Ängström", Email: "j@example.org"}, write: map[string]string{"a.c": "ü\n"}, subject: "ä: ünicode ✓", body: "Grüße, and 漢字.\n"},
		{author: patches.Person{Name: "Doe, Jane", Email: "jane@example.org"}, write: map[string]string{"a.c": "2\n"}, subject: "a: comma"},
		{author: patches.Person{Name: "J. Random Hacker", Email: "jr@example.org"}, write: map[string]string{"a.c": "5\n"}, subject: "a: full stop"},
	},
	"names": {
		{author: patches.Person{Name: zoe.Name, Email: zoe.Address}, write: map[string]string{"a.c": "z\n"}, subject: "a: the sender"},
		{author: patches.Person{Name: `Jane "JD" Doe`, Email: "jd@example.org"}, write: map[string]string{"a.c": "3\n"}, subject: "a: quotes"},
		{author: patches.Person{Name: `Jörg "J" Ö`, Email: "jo@example.org"}, write: map[string]string{"a.c": "4\n"}, subject: "a: both"},
		{author: patches.Person{Name: strings.Repeat("Ünt ", 11) + "End", Email: "u@example.org"}, write: map[string]string{"a.c": "6\n"}, subject: "a: long name"},
		{author: patches.Person{Name: "O'Neil (at home)", Email: "o@example.org"}, write: map[string]string{"a.c": "7\n"}, subject: "a: comment"},
	},
	"subjects": {
		{write: map[string]string{"a.c": "1\n"}, subject: "a: " + strings.Repeat("word ", 40) + "end"},
		{write: map[string]string{"a.c": "5\n"}, subject: "a: ein Wört more plain words"},
		{write: map[string]string{"a.c": "6\n"}, subject: "ü"},
	},
	"odd-subjects": {
		{write: map[string]string{"a.c": "3\n"}, subject: "a: ends in an encoded =?utf-8?q?word?= and ] more"},
		{write: map[string]string{"a.c": "2\n"}, subject: "a: " + strings.Repeat("Wörter und ", 20) + "Ende"},
		{write: map[string]string{"a.c": "4\n"}, subject: "a: " + strings.Repeat("x", 1100)},
	},
	"whitespace": {
		{write: map[string]string{"a.c": "trailing \t\n\n\n \nend"}, subject: "a: blanks and no newline", body: "  indented\n\n\ttab\n    code = 1\n"},
		{write: map[string]string{"a.c": "trailing\nend\n"}, subject: "a: newline"},
		{write: map[string]string{"empty": ""}, subject: "add an empty file"},
	},
	"carriage-return": {
		// A CR LF line end is refused by package patches; one within a line is not.
		{write: map[string]string{"a.c": "1\r2\n3\n"}, subject: "a: cr"},
	},
	"files": {
		{rename: [][2]string{{"big.c", "dir/big.c"}}, subject: "move"},
		{rename: [][2]string{{"dir/big.c", "dir/new/bigger.c"}}, write: map[string]string{"ä name.c": "x\n"}, subject: "move again"},
		{chmod: map[string]os.FileMode{"a.c": 0o755}, subject: "mode"},
		{remove: []string{"a.c"}, subject: "delete"},
		{write: map[string]string{"-- ": "-- \n", "dash.c": "-- \n--- a\n+++ b\n"}, subject: "dashes"},
		{write: map[string]string{"dash.c": "--- a\n+++ b\n@@ -1 +1 @@\n"}, subject: "dashes again"},
	},
	"trailers": {
		{write: map[string]string{"a.c": "1\n"}, subject: "a: t", body: "Text.\n\nFixes: 123456789012 (\"x\")\nSigned-off-by: A <a@b.c>\n"},
		{write: map[string]string{"a.c": "2\n"}, subject: "a: u", body: "--\nnot a signature\n---x\n"},
	},
}

func history(t testing.TB, changes []change) (*repo, *patches.Series) {
	t.Helper()
	r := newRepo(t)
	r.commit(change{write: map[string]string{"a.c": "1\n2\n3\n", "big.c": numbered("line", 1, 200), "rows": longLines("middle", "start")}, subject: "base"})
	r.git("tag", "base")
	for _, c := range changes {
		r.commit(c)
	}
	if strings.HasPrefix(changes[0].body, "Subject:") {
		// Only with the author in the body does a message that starts like a header survive git format-patch.
		return r, r.series("base", "--from=Nobody Else <nobody@seriesrig.invalid>")
	}
	return r, r.series("base")
}

// options are the ways in which a thread may be sent.
var options = map[string]mail.Options{
	"default": {},
	"sender":  {From: jane},
	"unicode": {From: zoe, Revision: 12},
}

// git am of the thread gives the commits that the patches were made of: trees, authors and messages, byte for byte.
func TestAm(t *testing.T) {
	for name, changes := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := history(t, changes)
			want := r.describe("base", "main")
			for how, o := range options {
				o.Series, o.ReadBase = s, r.readBase("base")
				th, err := mail.Render(o)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				// Both ways of reading an mbox have to give the same.
				for _, form := range []string{"mbox", "mboxrd"} {
					tip, err := r.am("base", patchMails(th), "--patch-format="+form)
					if err != nil {
						t.Fatalf("%s, as %s: %v", how, form, err)
					}
					if d := cmp.Diff(want, r.describe("base", tip)); d != "" {
						t.Errorf("%s: git am of the thread as %s differs from the commits (-commits +am):\n%s", how, form, d)
					}
				}
			}
		})
	}
}

// A thread that is not what was rendered does not pass the comparison that TestAm makes.
func TestAmMutation(t *testing.T) {
	r, s := history(t, cases["from-lines"])
	th, err := mail.Render(mail.Options{Series: s})
	if err != nil {
		t.Fatal(err)
	}
	good := patchMails(th)
	want := r.describe("base", "main")
	for name, change := range map[string][2]string{
		"body":    {"further", "farther"},
		"subject": {"a: from", "a: form"},
		"author":  {"From: Series Rig <", "From: Serious Rig <"},
		"diff":    {"+3D", "+4"},
		"from":    {"=46rom here on", ">From here on"},
		"rd":      {"=3EFrom the past", ">From the past"},
	} {
		bad := bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)
		if name == "diff" {
			bad = bytes.Replace(good, []byte("+>From there"), []byte("+>From here!"), 1)
		}
		if bytes.Equal(bad, good) {
			t.Errorf("%s: %q is not in the thread:\n%s", name, change[0], good)
			continue
		}
		args := []string{}
		if name == "rd" {
			args = append(args, "--patch-format=mboxrd")
		}
		tip, err := r.am("base", bad, args...)
		if err == nil && r.describe("base", tip) == want {
			t.Errorf("%s: the mutation %q -> %q went unnoticed", name, change[0], change[1])
		}
	}
}
