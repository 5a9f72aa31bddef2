// SPDX-License-Identifier: Apache-2.0

package send_test

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/patches/mail/send"
)

func TestFreeze(t *testing.T) {
	m := freeze(t, thread(2), send.FreezeOptions{})
	if len(m) != 2 || m[1].ID != "t-v1-1-0123456789@example.org" || m[0].Number != 1 || strings.Join(m[0].Rcpt, " ") != "max@example.org list@example.org" {
		t.Errorf("Freeze = %+v", m)
	}
	if !bytes.HasPrefix(m[0].Data, []byte("From: Ann Bell <ann@example.org>\r\nTo: \"Max, M\" <max@example.org>,\r\n list@example.org\r\n")) {
		t.Errorf("on the wire: %q", m[0].Data)
	}
	only := freeze(t, thread(1), send.FreezeOptions{Only: "me@example.org"})
	if !slices.Equal(only[0].Rcpt, []string{"me@example.org"}) || !bytes.Equal(only[0].Data, m[0].Data) && len(only[0].Data) == 0 {
		t.Errorf("to one: %q", only[0].Rcpt)
	}
}

// Further recipients go into the header and the envelope; those that are there are not doubled.
func TestFreezeAdds(t *testing.T) {
	o := send.FreezeOptions{To: []netmail.Address{{Name: "Jö, rg", Address: "joerg@example.org"}, {Address: "MAX@example.org"}}, Cc: []netmail.Address{{Address: "cc@example.org"}}}
	m := freeze(t, thread(1), o)[0]
	head, _, _ := strings.Cut(string(m.Data), "\r\n\r\n")
	for _, want := range []string{"To: \"Max, M\" <max@example.org>,\r\n list@example.org,\r\n =?utf-8?b?SsO2LCByZw==?= <joerg@example.org>\r\n", "Cc: max@example.org,\r\n cc@example.org\r\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("the header is %q, want %q in it", head, want)
		}
	}
	parsed, err := netmail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	list, err := parsed.Header.AddressList("To")
	if err != nil || len(list) != 3 || list[2].Name != "Jö, rg" {
		t.Errorf("To is read back as %v, %v", list, err)
	}
	if got := strings.Join(m.Rcpt, " "); got != "max@example.org list@example.org joerg@example.org cc@example.org" {
		t.Errorf("the envelope is %q", got)
	}
	without := strings.Replace(thread(1), "Cc: max@example.org\n", "", 1)
	if m := freeze(t, without, o)[0]; !bytes.Contains(m.Data, []byte("\r\nCc: cc@example.org\r\n\r\n")) {
		t.Errorf("a new field: %q", m.Data)
	}
}

// Nothing goes out that a server or a reader could take for something else.
func TestFreezeRejects(t *testing.T) {
	for name, x := range map[string]struct{ old, new, want string }{
		"no-id":          {"Message-Id: <t-v1-0-0123456789@example.org>\n", "", "the Message-Id"},
		"id-blank":       {"<t-v1-0-0123456789@example.org>\nMIME", "<t v1@example.org>\nMIME", "the Message-Id"},
		"id-command":     {"<t-v1-0-0123456789@example.org>\nMIME", "<a@b>\r\n DATA\nMIME", ""},
		"no-from":        {"From: Ann Bell <ann@example.org>\n", "", ""},
		"from-injection": {"Ann Bell <ann@example.org>", "Ann Bell <\"ann> RCPT\"@example.org>", "no mail address"},
		"to-quoted":      {"list@example.org\nCc", "\"x y\"@example.org\nCc", "no mail address"},
		"to-unicode":     {"list@example.org\nCc", "lïst@example.org\nCc", ""},
		"no-recipient":   {"To: \"Max, M\" <max@example.org>,\n list@example.org\nCc: max@example.org\n", "", "it has no recipient"},
		"no-date":        {"Date: Sat, 21 Nov 2026 10:00:00 +0000\n", "", "there is no Date"},
		"no-subject":     {"Subject: [PATCH 0/1] audit: groesse 0\n", "Subject:\n", "there is no subject"},
		"bcc":            {"Cc: max", "Bcc: max", "field Bcc"},
		"resent":         {"Cc: max", "Resent-To: x@y.z\nCc: max", "field Resent-To"},
		"two-to":         {"Cc: max", "To: x@y.z\nCc: max", "two fields To"},
		"two-from":       {"Cc: max", "From: x@y.z\nCc: max", "two fields From"},
		"escape":         {"Subject: [PATCH 0/1]", "Subject: \x1b[2J[PATCH 0/1]", "control character"},
		"return":         {"QUIT\n", "QU\rIT\n", "carriage return"},
		"nul":            {"QUIT\n", "QU\x00IT\n", ""},
		"long":           {"QUIT\n", strings.Repeat("x", 999) + "\n", "999 bytes"},
		"long-header":    {"Cc: max", "X-Long: " + strings.Repeat("x", 1000) + "\nCc: max", "bytes"},
		"many":           {"list@example.org\nCc", strings.Repeat("l@a.b,\n ", 1) + many(520) + "\nCc", "recipients"},
	} {
		text := thread(2)
		bad := strings.Replace(text, x.old, x.new, 1)
		if bad == text {
			t.Errorf("%s: %q is not in the thread", name, x.old)
			continue
		}
		_, err := send.Freeze(strings.NewReader(bad), send.FreezeOptions{})
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "message 1") {
			t.Errorf("%s: Freeze = %v, want message 1 and %q", name, err, x.want)
		}
	}
	twice := thread(1) + thread(1)
	if _, err := send.Freeze(strings.NewReader(twice), send.FreezeOptions{}); err == nil || !strings.Contains(err.Error(), "message 2 (line 24): has the Message-Id of message 1") {
		t.Errorf("the same Message-Id twice: %v", err)
	}
}

func many(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("l%d@a.b", i))
	}
	return strings.Join(all, ",\n ")
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"a\x1b[31mred\x07":            "a?[31mred?",
		"two\r\nlines\tand":           "two  lines and",
		"\u202eright\u2069\u2028x":    "?right??x",
		"bad \xff byte":               "bad ? byte",
		strings.Repeat("ü", 400):      strings.Repeat("ü", 300) + "...",
		"\u009b31mC1 and \u0085 more": "?31mC1 and ? more",
	} {
		if got := send.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// Whatever the mbox says: what is frozen has only whole lines, one field of each kind, and addresses that end no command.
func FuzzFreeze(f *testing.F) {
	f.Add(thread(2), "x@y.z")
	f.Add("From: a@b.c\nTo: d@e.f\nSubject: s\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-Id: <i@j>\n\nx", "a>@b")
	f.Fuzz(func(t *testing.T, mbox, more string) {
		messages, err := send.Freeze(strings.NewReader(mbox), send.FreezeOptions{To: []netmail.Address{{Name: more, Address: "more@example.org"}}, Cc: []netmail.Address{{Address: more}}})
		if err != nil {
			return
		}
		for _, m := range messages {
			if !bytes.HasSuffix(m.Data, []byte("\r\n")) || bytes.Count(m.Data, []byte("\n")) != bytes.Count(m.Data, []byte("\r\n")) || bytes.Count(m.Data, []byte("\r")) != bytes.Count(m.Data, []byte("\n")) {
				t.Errorf("bare ends of lines in %q", m.Data)
			}
			for _, r := range append(m.Rcpt, m.From.Address) {
				if strings.ContainsAny(r, " <>\r\n\t\x00,") || strings.Count(r, "@") != 1 {
					t.Errorf("address %q", r)
				}
			}
			parsed, err := netmail.ReadMessage(bytes.NewReader(m.Data))
			if err != nil {
				t.Errorf("the header of %q: %v", m.Data, err)
				continue
			}
			for _, key := range []string{"To", "Cc", "From", "Message-Id", "Subject"} {
				if n := len(parsed.Header[key]); n > 1 {
					t.Errorf("%d fields %s", n, key)
				}
			}
			if len(parsed.Header["Bcc"]) > 0 {
				t.Error("a Bcc")
			}
		}
	})
}
