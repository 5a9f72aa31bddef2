// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// textLine is a line of a line in the trial file.
func textLine(n int) string { return fmt.Sprintf("line %d\n", n) }

// trialPatch changes line 10*n of a file.
func trialPatch(t testing.TB, n, total int, author, body string) *patches.Patch {
	t.Helper()
	var diff strings.Builder
	at := 10 * n
	fmt.Fprintf(&diff, "diff --git a/f.c b/f.c\nindex 0123456789ab..ba9876543210 100644\n--- a/f.c\n+++ b/f.c\n@@ -%d,7 +%d,7 @@\n", at-3, at-3)
	for i := at - 3; i <= at+3; i++ {
		if i == at {
			fmt.Fprintf(&diff, "-%s+new %s", textLine(i), textLine(i))
		} else {
			diff.WriteString(" " + textLine(i))
		}
	}
	raw := fmt.Sprintf("From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: %s\nDate: Fri, 2 Jan 2026 03:04:%02d +0100\nSubject: [PATCH %d/%d] f: change %d\n\n%s---\n f.c | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n\n%s-- \n2.39.5\n",
		author, n, n, total, n, body, diff.String())
	p, err := patches.ParsePatch(fmt.Sprintf("%04d-f-change-%d.patch", n, n), []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	p.Number = n
	return p
}

// trial is a series of n patches by two authors.
func trial(t testing.TB, n int) *patches.Series {
	t.Helper()
	s := &patches.Series{ID: "trial", Title: "f: three changes", Revision: 1, Prefix: "PATCH net-next", Base: "debian:linux-source-6.12",
		ChangeID: "20260102-trial-0123456789ab", Mail: patches.Mail{To: []string{"list@example.org"}, Cc: []string{"Doe, Jane <jane@example.org>"}},
		Cover: patches.Cover{Subject: "f: three changes", Body: "Why {{\"{{\"}} so.\n\nChanges in v1:\n- none\n"}}
	s.Mail.Cc[0] = `"Doe, Jane" <jane@example.org>`
	for i := 1; i <= n; i++ {
		author := "Series Rig <series@seriesrig.invalid>"
		if i == 2 {
			author = "=?utf-8?q?J=C3=B6rg_M=C3=BCller?= <j@example.org>"
		}
		s.Patches = append(s.Patches, trialPatch(t, i, n, author, fmt.Sprintf("Why %d.\n\nSigned-off-by: A Uthor <a@example.org>\n", i)))
	}
	return s
}

func render(t testing.TB, o mail.Options) *mail.Thread {
	t.Helper()
	if o.Version == "" {
		o.Version = "test"
	}
	th, err := mail.Render(o)
	if err != nil {
		t.Fatal(err)
	}
	return th
}

func mboxOf(t testing.TB, th *mail.Thread) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := th.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const separator = "From x Mon Sep 17 00:00:00 2001\n"

// reply answers a message.
func reply(to *mail.Message, from, body string) string {
	return fmt.Sprintf("%sFrom: %s\nSubject: Re: %s\nDate: %s\nMessage-Id: <r%x@example.org>\nIn-Reply-To: <%s>\nReferences: <%s>\n\n%s\n",
		separator, from, strings.ReplaceAll(to.Subject, "\n", " "), to.Date.Add(time.Hour).Format(time.RFC1123Z), len(from)*1000+len(body), to.ID, to.ID, body)
}

func load(t testing.TB, text string, o Options) (*Series, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "thread.mbox")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Read(file, o)
}

// write writes a series and loads it.
func write(t testing.TB, s *Series) *patches.Series {
	t.Helper()
	base := s.Base
	if base == "" {
		base = "debian:linux-source-6.12"
	}
	dir, err := s.Write(Target{Root: t.TempDir(), Base: base, Arches: []string{"amd64"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := patches.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var jane = netmail.Address{Name: "Jane Sender", Address: "jane@sender.org"}
