// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/lint"
)

const (
	head  = "From: Ann Author <ann@example.org>\nSubject: [PATCH] audit: widen the counter\n"
	diff  = "diff --git a/f.c b/f.c\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-old\n+new\n"
	whole = head + "\nIt wraps.\n\nSigned-off-by: Ann Author <ann@example.org>\n---\n" + diff
	from  = "From series Mon Sep 17 00:00:00 2001\n"
)

// Every input that cannot be read is one error, with the message's number and the line in the file.
func TestReadRejects(t *testing.T) {
	deep := func(n int) string {
		s := head + "Content-Type: multipart/mixed; boundary=b0\n\n"
		for i := 1; i <= n; i++ {
			s += fmt.Sprintf("--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n", i-1, i)
		}
		for i := n; i >= 0; i-- {
			s += fmt.Sprintf("--b%d--\n", i)
		}
		return s
	}
	for name, c := range map[string]struct {
		data     string
		message  int
		line     int
		contains string
	}{
		"empty":               {"", 0, 0, "is empty"},
		"blank":               {"\n\n \n", 0, 0, "is empty"},
		"NUL":                 {from + whole + "\n" + from + head + "\nIt\x00wraps.\n", 2, 20, "NUL byte at column 3"},
		"long line":           {whole + "+" + strings.Repeat("x", 10<<20) + "\n", 1, 14, "the line has 10485761 bytes"},
		"long text":           {head + "\n" + strings.Repeat("It wraps and wraps and wraps.\n", 1<<16), 1, 34956, "text of the message is longer"},
		"long header":         {head + "X-Y: z\n" + strings.Repeat(" "+strings.Repeat("y", 1<<19)+"\n", 4) + "\n", 1, 6, "the field x-y is longer"},
		"many fields":         {strings.Repeat("X: y\n", 3000) + "\n", 1, 2001, "more than 2000 fields"},
		"no header":           {"It wraps.\n\n" + diff, 1, 1, "not a line of a mail's header"},
		"plain diff":          {diff, 1, 1, "begins with a diff"},
		"neither":             {"To: a@b.c\n\nHello.\n", 1, 1, "no From: and no Subject:"},
		"two subjects":        {"Subject: a\nSubject: b\n\n", 1, 2, "a second field subject"},
		"content type":        {head + "Content-Type: ;;\n\nx\n", 1, 3, "broken Content-Type"},
		"charset":             {head + "Content-Type: text/plain; charset=koi8-r\n\nx\n", 1, 3, `charset "koi8-r" cannot be read`},
		"not UTF-8":           {head + "Content-Type: text/plain; charset=utf-8\n\nfine\n\xff\n", 1, 6, "is not UTF-8"},
		"encoding":            {head + "Content-Transfer-Encoding: uuencode\n\nx\n", 1, 3, "unknown Content-Transfer-Encoding"},
		"base64":              {head + "Content-Transfer-Encoding: base64\n\nSXQgd3Jh\ncHM*\n", 1, 6, "broken base64"},
		"base64 cut short":    {head + "Content-Transfer-Encoding: base64\n\nSXQgd3Jhc\n", 1, 5, "broken base64"},
		"base64 NUL":          {head + "Content-Transfer-Encoding: base64\n\nAAAA\n", 1, 5, "NUL byte"},
		"QP":                  {head + "Content-Transfer-Encoding: quoted-printable\n\nx\n\x01\n", 1, 6, "broken quoted-printable"},
		"QP NUL":              {head + "Content-Transfer-Encoding: quoted-printable\n\nx\n=00\n", 1, 6, "NUL byte"},
		"QP long line":        {head + "Content-Transfer-Encoding: quoted-printable\n\nx\n" + strings.Repeat(strings.Repeat("x", 1000)+"=\n", 2000), 1, 6, "longer than"},
		"no boundary":         {head + "Content-Type: multipart/mixed\n\nx\n", 1, 5, "without a boundary"},
		"boundary missing":    {head + "Content-Type: multipart/mixed; boundary=b\n\nx\n", 1, 5, "without any part"},
		"boundary not closed": {head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n", 1, 5, "is cut short"},
		"deep":                {deep(50), 1, 0, "more than 8 deep"},
		"many parts":          {head + "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 500) + "--b--\n", 1, 5, "more than 200 parts"},
	} {
		start := time.Now()
		_, err := lint.Read("in.mbox", strings.NewReader(c.data))
		var bad *lint.ReadError
		if !errors.As(err, &bad) {
			t.Errorf("%s: Read = %v, want a ReadError", name, err)
			continue
		}
		if bad.File != "in.mbox" || bad.Message != c.message || c.line > 0 && bad.Line != c.line || !strings.Contains(bad.Error(), c.contains) {
			t.Errorf("%s: Read = %v, want message %d, line %d, with %q", name, err, c.message, c.line, c.contains)
		}
		if len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
			t.Errorf("%s: the error is not one short line: %q", name, err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
}

// Without a patch there is nothing to judge: a reply that only quotes one is none.
func TestNoPatch(t *testing.T) {
	reply := "From: Rob <rob@example.org>\nSubject: Re: [PATCH] audit: widen the counter\n\n> " + strings.ReplaceAll(diff, "\n", "\n> ") + "\nNo.\n"
	ms, err := lint.Read("in.mbox", strings.NewReader(reply))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lint.Check(lint.Input{Messages: ms}); err == nil || !strings.Contains(err.Error(), "in.mbox: there is no patch in it") {
		t.Errorf("Check of a reply = %v, want an error", err)
	}
	if _, err := lint.Check(lint.Input{}); err == nil {
		t.Error("Check of nothing = nil, want an error")
	}
}

// What can be read is judged, and the findings name the lines of the file whatever the encoding.
func TestReadLines(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want []string
	}{
		"clean":  {whole, nil},
		"CR LF":  {strings.ReplaceAll(whole, "\n", "\r\n"), []string{"in:1: mail-text"}},
		"one CR": {strings.Replace(whole, "+new\n", "+new\r\n", 1), []string{"in:13: mail-text"}},
		"quoted-printable": {head + "Content-Transfer-Encoding: quoted-printable\n\nIt =\nwraps.\n=23 hash\n\nSigned-off-by: Ann Author <ann@example.org>\n---\n" + diff,
			[]string{"in:7: body-hash-line"}},
		"base64 over lines": {head + "Content-Transfer-Encoding: base64\n\nSXQgd3JhcHMuCgojIGhhc2gKClNpZ25lZC1vZmYtYnk6\nIEFubiBBdXRob3IgPGFubkBleGFtcGxlLm9yZz4KLS0t\nCmRpZmYgLS1naXQgYS9mLmMgYi9mLmMKLS0tIGEvZi5j\nCisrKyBiL2YuYwpAQCAtMSArMSBAQAotb2xkCituZXcK\n",
			[]string{"in:5: body-hash-line"}},
		"quoted boundary": {head + "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_b\"\n\n--=_b\nContent-Type: text/plain\n\nIt wraps.\n\nSigned-off-by: Ann Author <ann@example.org>\n---\n" + diff + "--=_b--\n",
			[]string{"in:6: mail-text"}},
		"no separator, second message": {whole + "\n" + from + strings.Replace(whole, "It wraps.", "# hash", 1), []string{"in:19: body-hash-line"}},
		"From in the text":             {strings.Replace(whole, "It wraps.", "From here on it wraps.\n>From there, too.", 1), nil},
		"subject in Latin-1":           {strings.Replace(whole, "counter", "=?iso-8859-1?q?z=E4hler?=", 1), nil},
		"subject in an unknown charset": {strings.Replace(whole, "counter", "=?x-nobody?q?z=E4hler?=", 1),
			[]string{"in:2: mail-text"}},
		"patch of old": {strings.ReplaceAll(whole, "diff --git a/f.c b/f.c\n--- a/", "--- linux.orig/"), nil},
	} {
		ms, err := lint.Read("in", strings.NewReader(c.data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		rep, err := lint.Check(lint.Input{Messages: ms})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, f := range rep.Findings {
			if f.Rule != "base-line" {
				got = append(got, fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Rule))
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: findings (-want +got):\n%s", name, d)
		}
	}
}

// b4 keeps a hash of what it has checked that is of the diffs only, so that a message reworded after the check passes as
// checked. Digest has the messages, the authors, the notes and the cover letter in it.
func TestDigest(t *testing.T) {
	cover := from + strings.Replace(head, "[PATCH]", "[PATCH 0/1]", 1) + "\nAll of them wrap.\n\n"
	patch := from + strings.Replace(whole, "[PATCH]", "[PATCH 1/1]", 1)
	digest := func(s string) string {
		t.Helper()
		ms, err := lint.Read("in", strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return lint.Digest(ms)
	}
	base := digest(cover + patch)
	for name, change := range map[string][2]string{
		"cover letter":   {"All of them wrap.", "All of them wrap around."},
		"message":        {"It wraps.", "It wraps around."},
		"subject":        {"[PATCH 1/1] audit: widen", "[PATCH 1/1] audit: broaden"},
		"cover subject":  {"[PATCH 0/1] audit: widen", "[PATCH 0/1] audit: broaden"},
		"version":        {"[PATCH 1/1]", "[PATCH v2 1/1]"},
		"trailer":        {"---\ndiff", "Acked-by: Rob <rob@example.org>\n---\ndiff"},
		"notes":          {"---\ndiff", "---\nA note.\n\ndiff"},
		"author":         {"---\n" + "diff", "---\n" + "diff"},
		"diff":           {"+new", "+newer"},
		"second diff":    {"+new\n", "+new\n-- \n2.39.5\n\ndiff --git a/g.c b/g.c\n--- a/g.c\n+++ b/g.c\n@@ -1 +1 @@\n-old\n+new\n"},
		"binary":         {"+new\n", "+new\ndiff --git a/g b/g\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\nliteral 0\nHcmV?d00001\n\n"},
		"moved sentence": {"It wraps.\n", "It wraps.\n\n"},
	} {
		s := strings.Replace(cover+patch, change[0], change[1], 1)
		if name == "author" {
			s = strings.Replace(cover+patch, "1/1] audit: widen the counter\n\n", "1/1] audit: widen the counter\n\nFrom: Rob <rob@example.org>\n\n", 1)
		}
		if s == cover+patch {
			t.Fatalf("%s: nothing was changed", name)
		}
		if digest(s) == base {
			t.Errorf("%s: the digest is the same after a change", name)
		}
	}
	if digest(cover+patch+"-- \n2.40.1\n\nbase-commit: 0123456789012345678901234567890123456789\n") != base {
		t.Error("a signature changes the digest")
	}
	if s := strings.Replace(cover+patch, "From: Ann", "To: a@b.c\nMessage-Id: <1@x>\nFrom: Ann", 1); digest(s) != base {
		t.Error("recipients and Message-Id change the digest")
	}
}

// The series here have no finding but the sign-off that only a person can give.
func TestOurSeries(t *testing.T) {
	all, err := patches.List("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no series found")
	}
	for _, s := range all {
		ms, err := lint.FromSeries(s)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := lint.Check(lint.Input{Messages: ms})
		if err != nil {
			t.Fatal(err)
		}
		missing := 0
		for _, f := range rep.Findings {
			if f.Rule == "signoff-missing" {
				missing++
				continue
			}
			t.Errorf("%s: %v", s.ID, f)
		}
		if missing != len(s.Patches) {
			t.Errorf("%s: %d sign-offs are missing, want all %d", s.ID, missing, len(s.Patches))
		}
	}
}

// A stored series is judged as the thread that it will be: numbers and versions are not those of its files.
func TestStored(t *testing.T) {
	// No stored file carries a sign-off; this test plays the person who adds one, to one of two patches.
	dir := filepath.Join(t.TempDir(), "stored")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "stored"))); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "0002-b.patch")
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, bytes.Replace(text, []byte("\n---\n"), []byte("\nSigned-off-by: Ann Author <ann@example.org>\n---\n"), 1), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := patches.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	ms, err := lint.FromSeries(s)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := lint.Check(lint.Input{Messages: ms})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range rep.Findings {
		got = append(got, fmt.Sprintf("%s:%d: %s", filepath.Base(f.File), f.Line, f.Rule))
	}
	want := []string{"cover.md:4: body-line-length", "0001-a.patch:4: signoff-missing", "0002-b.patch:8: body-line-length"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(from + strings.Replace(whole, "[PATCH]", "[PATCH v2 0/1]", 1) + "\n" + from + strings.Replace(whole, "[PATCH]", "[PATCH 1/1]", 1)))
	f.Add([]byte(head + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: base64\n\nSXQgd3JhcHMuCg==\n--b--\n"))
	f.Add([]byte(head + "Content-Transfer-Encoding: quoted-printable\n\n=23 =\nx\n---\n" + diff))
	f.Add([]byte("Subject: [PATCH 99999/99999\nFrom: <>\n\n---\n--- a\n+++ b\n@@ -1 +1 @@\n"))
	f.Add([]byte(strings.ReplaceAll(whole, "\n", "\r\n")))
	f.Add(hundred(2))
	f.Fuzz(func(t *testing.T, data []byte) {
		ms, err := lint.Read("in", bytes.NewReader(data))
		if err != nil {
			return
		}
		lines := 1 + bytes.Count(data, []byte("\n"))
		rep, err := lint.Check(lint.Input{Messages: ms, Previous: ms})
		if err != nil {
			return
		}
		for _, found := range rep.Findings {
			if found.Line < 1 || found.Line > lines {
				t.Errorf("a finding in line %d of %d: %v", found.Line, lines, found)
			}
			if strings.ContainsAny(found.Message, "\n\r\x1b\x00") || len(found.Message) > 4000 {
				t.Errorf("a message that is not one line: %q", found.Message)
			}
		}
		for _, m := range ms {
			if p, err := m.Plain(); err == nil && m.Kind == lint.Patch {
				if !bytes.HasSuffix(p.Text, []byte("\n")) {
					t.Errorf("the form for checkpatch does not end with a newline")
				}
			}
		}
	})
}

// The change log of a stored series is in series.toml.
func TestStoredChanges(t *testing.T) {
	s, err := patches.Load(filepath.Join("testdata", "stored"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := lint.Read("before", strings.NewReader(strings.NewReplacer("widen the counter", "widen the first counter",
		"---\ndiff", "Reviewed-by: Rob <rob@example.org>\n---\ndiff").Replace(whole)))
	if err != nil {
		t.Fatal(err)
	}
	for said, want := range map[string]int{"wider": 1, "dropped the Reviewed-by of patch 1, which is another now": 0} {
		s.Changes[0].Series = []string{said}
		ms, err := lint.FromSeries(s)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := lint.Check(lint.Input{Messages: ms, Previous: before})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range rep.Findings {
			if f.Rule == "stale-tags" {
				n++
			}
		}
		if n != want {
			t.Errorf("changes %q: %d findings of stale-tags, want %d", said, n, want)
		}
	}
}

// What is wrong with a reply does not keep the patches beside it from being judged, and who sent it still counts.
func TestBrokenReplies(t *testing.T) {
	const patch = "From a@x Mon Sep 17 00:00:00 2001\nFrom: Ann <ann@example.org>\nSubject: [PATCH] a: b\nMessage-Id: <1@x>\n\nWhy.\n---\ndiff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\n\n"
	for name, c := range map[string]struct {
		fields, body, from string
	}{
		"charset":     {"Content-Type: text/plain; charset=koi8-r\n", "\xc1\xc2", "rob@example.org"},
		"no charset":  {"", "\xff", "rob@example.org"},
		"NUL":         {"", "a\x00b", ""},
		"long line":   {"", strings.Repeat("x", 10_000_000), ""},
		"base64":      {"Content-Transfer-Encoding: base64\n", "!!!", "rob@example.org"},
		"encoding":    {"Content-Transfer-Encoding: x-uue\n", "!!!", "rob@example.org"},
		"open part":   {"Content-Type: multipart/mixed; boundary=b\n", "--b\n\nText.\n", "rob@example.org"},
		"no part":     {"Content-Type: multipart/mixed; boundary=b\n", "Text.\n", "rob@example.org"},
		"no boundary": {"Content-Type: multipart/mixed\n", "Text.\n", "rob@example.org"},
		"kind":        {"Content-Type: ;;;\n", "Text.\n", "rob@example.org"},
		"two From":    {"From: Other <o@example.org>\n", "Text.\n", ""},
		"no field":    {"what is this\n", "Text.\n", ""},
	} {
		reply := "From a@x Mon Sep 17 00:00:00 2001\nFrom: Rob <rob@example.org>\n%s: [PATCH] a: b\nMessage-Id: <2@x>\nIn-Reply-To: <1@x>\n" + c.fields + "\n" + c.body + "\n\n"
		ms, err := lint.Read("x.mbox", strings.NewReader(patch+strings.Replace(reply, "%s", "Subject: Re", 1)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(ms) != 2 || ms[0].Kind != lint.Patch || ms[1].Kind != lint.Other || ms[1].From.Email != c.from {
			t.Errorf("%s: kinds %v and %v, reply from %q, want a patch and a reply from %q", name, ms[0].Kind, ms[1].Kind, ms[1].From.Email, c.from)
		}
		// Of a patch it is an error.
		if _, err := lint.Read("x.mbox", strings.NewReader(patch+strings.Replace(reply, "%s: [PATCH]", "Subject: [PATCH v2]", 1))); err == nil {
			t.Errorf("%s: a patch is read in spite of it", name)
		}
	}
}

// Archives pack a thread by gzip.
func TestReadPacked(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte("From: Ann <ann@example.org>\nSubject: [PATCH] a: b\n\nWhy.\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	ms, err := lint.Read("t.mbox.gz", bytes.NewReader(b.Bytes()))
	if err != nil || len(ms) != 1 || ms[0].Subject.Summary != "a: b" {
		t.Errorf("Read of a packed mail = %v, %v", ms, err)
	}
	for cut, want := range map[int]string{5: "broken", b.Len() - 12: "broken", b.Len() - 1: "broken"} {
		var bad *lint.ReadError
		if _, err := lint.Read("t.mbox.gz", bytes.NewReader(b.Bytes()[:cut])); !errors.As(err, &bad) || !strings.Contains(bad.Msg, want) {
			t.Errorf("Read of %d bytes of a packed mail = %v, want a ReadError with %q", cut, err, want)
		}
	}
	// What unpacks to more than is read.
	b.Reset()
	z = gzip.NewWriter(&b)
	for range 65 {
		if _, err := z.Write(bytes.Repeat([]byte("x\n"), 1<<19)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := lint.Read("bomb.gz", bytes.NewReader(b.Bytes())); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("Read of a bomb = %v, want that it is too large", err)
	}
}
