// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// FuzzRead feeds any bytes as a source. What is taken in is a series that loads and can be mailed; everything else is one
// line that says what is wrong.
func FuzzRead(f *testing.F) {
	th := render(f, mail.Options{Series: trial(f, 2)})
	text := mboxOf(f, th)
	f.Add([]byte(text))
	f.Add([]byte(text + reply(th.Messages[1], "Rev Iewer <rev@example.org>", "Reviewed-by: Rev Iewer <rev@example.org>")))
	f.Add([]byte(strings.ReplaceAll(text, "From series ", "From mboxrd@z ")))
	f.Add([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	f.Add([]byte(strings.Replace(text, "Content-Type: text/plain; charset=UTF-8", "Content-Type: multipart/signed; boundary=b", 1)))
	f.Add([]byte(strings.Replace(text, "8bit", "base64", 1)))
	f.Add([]byte("From: =?utf-8?q?=C3?= <a@b>\nSubject: [PATCH v999 99/9999] x\nReferences: <a> <b\n\ndiff --git a/x b/x\n"))
	f.Add([]byte("Subject: [RFC PATCHv3 net-next 1/1] x\nFrom: a@b.c\nDate: Fri, 2 Jan 2026 03:04:05 +0000\n\n---\ndiff --git a/x b/x\nold mode 100644\nnew mode 100755\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadFrom("fuzz.mbox", bytes.NewReader(data), Options{})
		if err != nil {
			checkError(t, err)
			return
		}
		for _, n := range append(s.Notes, s.Gathered...) {
			if strings.ContainsFunc(n, unicode.IsControl) {
				t.Errorf("note %q", n)
			}
		}
		dir, err := s.Write(Target{Root: t.TempDir(), Base: "dir:/", Arches: []string{"amd64"}})
		if err != nil {
			checkError(t, err)
			return
		}
		got, err := patches.Load(dir)
		if err != nil {
			t.Fatalf("what was written does not load: %v", err)
		}
		th, err := mail.Render(mail.Options{Series: got, AllowMissing: true})
		if err != nil {
			checkError(t, err)
			return
		}
		var b bytes.Buffer
		if _, err := th.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		again, err := ReadFrom("again.mbox", &b, Options{})
		if err != nil {
			t.Fatalf("what was mailed does not come in: %v", err)
		}
		for i, p := range again.Patches {
			if q := got.Patches[i]; p.Message() != q.Message() || p.Author != q.Author {
				t.Errorf("patch %d is\n%v\n%s\nwas\n%v\n%s", i+1, p.Author, p.Message(), q.Author, q.Message())
			}
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var at *Error
	var input *patches.InputError
	text := err.Error()
	if strings.ContainsFunc(text, unicode.IsControl) || len(text) > 2000 {
		t.Errorf("the error is not one line of text: %q", text)
	}
	if errors.As(err, &at) && (at.Message < 1 || at.Line < 1) || errors.As(err, &input) && input.File == "" {
		t.Errorf("the error does not say where: %q", text)
	}
}

// FuzzStatements looks for trailers in any reply: what is taken is one printable line that names its sender.
func FuzzStatements(f *testing.F) {
	for _, body := range []string{"Reviewed-by: Rev Iewer <rev@example.org>\n", "> Acked-by: Rev <rev@example.org>\n", "Tested-by: \"a, b\" <REV@example.org> # x\n-- \nAcked-by: x",
		"Acked-by: <rev@example.org> <m@example.org>\n", "Acked-by:rev@example.org\r\n", "Reviewed-by: <rev@ eXAmple.org>\n", "Reviewed-by: =?utf-8?q?=0a?= <rev@example.org>\n"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		l := &letter{senders: 1}
		l.Body, l.From.Address = body, "rev@example.org"
		s := &Series{}
		for _, text := range l.statements(s) {
			if strings.ContainsFunc(text, unicode.IsControl) || !strings.Contains(strings.ToLower(text), "rev@example.org") || len(text) > 500 {
				t.Errorf("taken: %q", text)
			}
			if key, _, _ := strings.Cut(text, ": "); statements[strings.ToLower(key)] != key {
				t.Errorf("taken: %q", text)
			}
		}
		for _, n := range s.Notes {
			if strings.ContainsFunc(n, unicode.IsControl) {
				t.Errorf("note %q", n)
			}
		}
	})
}
