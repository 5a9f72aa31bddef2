// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches/mail"
)

// What b4 0.12 does to a message whoever wrote it, so that these cases cannot come through it as they were: it moves lines
// that look like trailers, takes blanks from the start of a paragraph, and writes an mbox in which nothing is quoted.
var b4Spoils = map[string]string{
	"from-lines":      "a body line that is a whole mbox separator",
	"headers-in-body": "a body that starts with From:",
	"whitespace":      "an indented paragraph",
	"carriage-return": "a carriage return",
	"names":           "quotes and brackets in a name",
	"odd-subjects":    "a folded subject, on which it ends with a ValueError; brackets in the middle of one",
}

// b4 am takes the thread from the file, without a network, and what it makes of it gives the same commits.
func TestB4(t *testing.T) {
	need.Tool(t, "b4")
	more := map[string][]change{
		// The mailbox module of Python, which b4 reads with, splits at each line that starts with "From ".
		"from-prose": {
			{write: map[string]string{"a.c": "1\n"}, subject: "a: from", body: "Text.\n\nFrom here on\nFrom there, too.\n>From quoted\n"},
			{write: map[string]string{"a.c": "2\n"}, subject: "b: from"},
		},
	}
	for name, changes := range cases {
		more[name] = changes
	}
	for name, changes := range more {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if b4Spoils[name] != "" {
				t.Logf("not compared: %s", b4Spoils[name])
				return
			}
			r, s := history(t, changes)
			th, err := mail.Render(mail.Options{Series: s, ReadBase: r.readBase("base")})
			if err != nil {
				t.Fatal(err)
			}
			got := b4am(t, r, th)
			if d := cmp.Diff(r.describe("base", "main"), got); d != "" {
				t.Errorf("b4 am and git am (-commits +b4):\n%s", d)
			}
		})
	}
}

func b4am(t *testing.T, r *repo, th *mail.Thread) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "thread.mbox")
	r.must(os.WriteFile(file, mbox(th), 0o644))
	out := t.TempDir()
	cmd := run.Cmd{Name: "b4", Args: []string{"am", "-m", file, "-o", out, "-n", "ready", th.Messages[0].ID}, Dir: r.dir, Env: r.env}
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run(t.Context())
	if err != nil {
		t.Fatalf("b4 am: %v\n%s", err, text.String())
	}
	made, err := filepath.Glob(filepath.Join(out, "*.mbx"))
	r.must(err)
	if len(made) != 1 {
		t.Fatalf("b4 am made %v", made)
	}
	data, err := os.ReadFile(made[0])
	r.must(err)
	tip, err := r.am("base", data)
	if err != nil {
		t.Fatalf("git am of what b4 made: %v\n%s", err, data)
	}
	return r.describe("base", tip)
}

// b4 shazam applies the thread to the branch that is checked out, and the commits are those that the patches were made of.
func TestB4Shazam(t *testing.T) {
	need.Tool(t, "b4")
	for _, name := range []string{"plain", "authors", "files", "trailers"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := history(t, cases[name])
			th, err := mail.Render(mail.Options{Series: s, From: jane, ReadBase: r.readBase("base")})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "thread.mbox")
			r.must(os.WriteFile(file, mbox(th), 0o644))
			r.git("checkout", "-q", "-b", "shazam", "base")
			var text bytes.Buffer
			cmd := run.Cmd{Name: "b4", Args: []string{"--offline-mode", "shazam", "-m", file, th.Messages[0].ID}, Dir: r.dir, Env: r.env, Stdout: &text, Stderr: &text}
			if err := cmd.Run(t.Context()); err != nil {
				t.Fatalf("b4 shazam: %v\n%s", err, text.String())
			}
			if d := cmp.Diff(r.describe("base", "main"), r.describe("base", "shazam")); d != "" {
				t.Errorf("b4 shazam (-commits +b4):\n%s", d)
			}
		})
	}
}
