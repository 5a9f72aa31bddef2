// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"bytes"
	"errors"
	netmail "net/mail"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seriesrig/series/patches/mail"
)

// hard is a thread with everything in it that a mail may have to encode.
func hard(t testing.TB) *mail.Thread {
	s := trial(t)
	s.Cover.Subject = "audit: " + strings.Repeat("Wörter ", 20)[:150] + "x"
	s.Cover.Body = "From here\n>From there\nend with blanks  \n\ttab\t\n=3D is no code\r\na\rb\n" + strings.Repeat("long line ", 120) + "\n" + strings.Repeat("F", 2000) + "\n" + strings.Repeat("ü", 600) + "\n.\n"
	s.Patches[0].Body = "From me@x Mon Sep 17 00:00:00 2001\nFrom: x\n\n>>From me\n"
	s.Patches[0].Author.Name = `Jörg "J" Ö, the (3rd)`
	s.Mail.To = []string{`"Doe, \"J\" Jane" <jane@example.org>`, "Ünter Äß <u@example.org>", "plain@example.org"}
	for range 20 {
		s.Mail.Cc = append(s.Mail.Cc, strings.Repeat("z", len(s.Mail.Cc)+1)+"@example.org")
	}
	return render(t, mail.Options{Series: s, From: netmail.Address{Name: strings.Repeat("Zoë ", 12) + "(Q)", Address: "zoe@example.org"}})
}

func TestParseRoundTrip(t *testing.T) {
	th := hard(t)
	got, err := mail.Parse(bytes.NewReader(mbox(th)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(th.Messages, got, cmpopts.IgnoreFields(mail.Message{}, "Line"), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("Parse(WriteTo(thread)) (-rendered +parsed):\n%s", d)
	}
	for i, m := range got {
		if line := strings.Split(string(mbox(th)), "\n")[m.Line-1]; !strings.HasPrefix(line, "From: ") {
			t.Errorf("message %d starts in line %d, which is %q", i, m.Line, line)
		}
	}
}

// What goes out keeps to the limits of the standards.
func TestWireForm(t *testing.T) {
	for _, m := range hard(t).Messages {
		head, body, _ := strings.Cut(string(m.Raw), "\n\n")
		for _, line := range strings.Split(head, "\n") {
			if limit := map[bool]int{true: 76, false: 78}[strings.Contains(line, "=?utf-8?")]; len(line) > limit {
				t.Errorf("message %d: %d bytes in %q", m.Number, len(line), line)
			}
			if strings.TrimSpace(line) == "" {
				t.Errorf("message %d: an empty header line", m.Number)
			}
		}
		for _, line := range strings.Split(body, "\n") {
			if len(line) > 998 || strings.Contains(line, "\r") || strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
				t.Errorf("message %d: body line %q", m.Number, line[:min(len(line), 60)])
			}
			if strings.Contains(head, "quoted-printable") && len(line) > 76 {
				t.Errorf("message %d: %d bytes in a quoted-printable line", m.Number, len(line))
			}
		}
	}
	// And no more is encoded than has to be.
	for _, m := range render(t, mail.Options{Series: trial(t)}).Messages {
		if !strings.Contains(string(m.Raw), "Content-Transfer-Encoding: 7bit\n") {
			t.Errorf("message %d is not sent as it is:\n%s", m.Number, m.Raw)
		}
	}
}

func TestParseForeign(t *testing.T) {
	text := "\n\nFrom a Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: =?iso-8859-1?q?caf=E9?=\n\nFrom here\n>From there\nFrom 10:11:12 on it ran\nFrom 10:11:12 89\nFrom x y1:12 1999\n\n" +
		"From b Thu Jan  1 00:00:00 1970\nFrom: b@b.c\nSubject: two\n  folded\nTo: x@y.z,\n y@y.z\nContent-Type: text/plain; charset=us-ascii\n\nlast"
	got, err := mail.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Subject != "café" || got[0].Body != "From here\n>From there\nFrom 10:11:12 on it ran\nFrom 10:11:12 89\nFrom x y1:12 1999\n" || got[0].Line != 4 ||
		got[1].Subject != "two folded" || got[1].Body != "last" || len(got[1].To) != 2 {
		t.Errorf("Parse = %+v, %+v", got[0], got[1])
	}
	// A saved mail without a separator.
	if got, err = mail.Parse(strings.NewReader("From: A <a@b.c>\nSubject: [PATCH 3/4] x\n\nbody\n")); err != nil || len(got) != 1 || got[0].Number != 3 || got[0].Total != 4 {
		t.Errorf("one message: %+v, %v", got, err)
	}
}

func TestParseBad(t *testing.T) {
	const good = "From a Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: x\n\nbody\n\n"
	for name, text := range map[string]string{
		"attachment":  "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n--x--\n",
		"html":        "Content-Type: text/html\n\n<b>\n",
		"charset":     "Content-Type: text/plain; charset=koi8-r\n\nbody\n",
		"latin 1":     "Content-Type: text/plain; charset=iso-8859-1\n\nbody\n",
		"not UTF-8":   "\n\xff\n",
		"NUL":         "\na\x00b\n",
		"base64":      "Content-Transfer-Encoding: base64\n\n!!!!\n",
		"encoding":    "Content-Transfer-Encoding: x-uuencode\n\nbody\n",
		"type":        "Content-Type: ;;;\n\nbody\n",
		"date":        "Date: yesterday\n\nbody\n",
		"two senders": "\n", // From: is replaced below
		"header":      "no colon here\n\nbody\n",
	} {
		from := "From: B <b@b.c>\n"
		if name == "two senders" {
			from = "From: B <b@b.c>, C <c@b.c>\n"
		}
		_, err := mail.Parse(strings.NewReader(good + "From b Mon Sep 17 00:00:00 2001\n" + from + text))
		var bad *mail.ParseError
		if !errors.As(err, &bad) || bad.Message != 2 || bad.Line != 8 {
			t.Errorf("%s: %v, want an error in message 2 (line 8)", name, err)
		}
	}
	for _, text := range []string{"", "\n\n", "  \n"} {
		if _, err := mail.Parse(strings.NewReader(text)); err == nil {
			t.Errorf("Parse(%q) found a message", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(mbox(hard(f)))
	for _, name := range []string{"testdata/plain.mbox", "testdata/full.mbox", "testdata/single.mbox"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("From a Mon Sep 17 00:00:00 2001\r\nFrom: =?utf-8?q?=C3?= <a@b>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"))
	f.Add([]byte("From: a@b\nSubject: [PATCH 99999999999999999999/1] x\nReferences: <a> <b\n\nFrom x 1:2:3 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ms, err := mail.Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		// Written again and read again it is the same.
		again, err := mail.Parse(bytes.NewReader(mbox(&mail.Thread{Messages: ms})))
		if err != nil {
			t.Fatalf("second reading: %v", err)
		}
		for _, m := range append(ms[:len(ms):len(ms)], again...) {
			m.Line = 0
			m.Raw, m.Body = bytes.TrimRight(m.Raw, "\n"), strings.TrimRight(m.Body, "\n")
		}
		if d := cmp.Diff(ms, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("Parse(WriteTo(Parse)) (-first +second):\n%s", d)
		}
	})
}
