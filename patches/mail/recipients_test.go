// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/patches/mail"
)

func TestRecipients(t *testing.T) {
	s := trial(t)
	who := make([]mail.Recipients, len(s.Patches)+1)
	for n := range who {
		who[n].To = []netmail.Address{{Name: "Mém Ber", Address: "m@example.org"}}
	}
	who[1].Cc = []netmail.Address{{Name: "One, Only", Address: "one@example.org"}}
	th := render(t, mail.Options{Series: s, Recipients: who})
	for n, m := range th.Messages {
		if got := strings.Contains(string(m.Raw), "Cc: \"One, Only\" <one@example.org>\n"); got != (m.Number == 1) || len(m.To) != 1 {
			t.Errorf("message %d: To %v, Cc %v, in the header: %v", n, m.To, m.Cc, got)
		}
	}
	for what, bad := range map[string]netmail.Address{
		"name":    {Name: "x\r\nBcc: y@example.org", Address: "x@example.org"},
		"address": {Address: "x@example.org>, <y@example.org"},
		"none":    {},
	} {
		who[0].Cc = []netmail.Address{bad}
		if _, err := mail.Render(mail.Options{Series: s, Recipients: who}); err == nil {
			t.Errorf("%s: Render accepts %q", what, bad)
		}
	}
	if _, err := mail.Render(mail.Options{Series: s, Recipients: who[:1]}); err == nil {
		t.Error("Render accepts recipients of one message for a series")
	}
}

// Long lists of recipients, with names that have to be quoted, encoded and folded, change nothing about what git and b4
// make of the thread.
func TestAmRecipients(t *testing.T) {
	r, s := history(t, cases["plain"])
	want := r.describe("base", "main")
	who := make([]mail.Recipients, len(s.Patches)+1)
	for n := range who {
		for i := range 60 {
			name := []string{"", "Plain Name", "Comma, Name", "Jürgen Größe-Überlänge", `Quote "Q" Name`, strings.Repeat("Łong ", 15) + "Ñame", "J. R. (Bob) Hacker"}[i%7]
			a := netmail.Address{Name: name, Address: fmt.Sprintf("somebody-%d.%d@lists.example.org", n, i)}
			if i%3 == 0 {
				who[n].To = append(who[n].To, a)
			} else {
				who[n].Cc = append(who[n].Cc, a)
			}
		}
	}
	th := render(t, mail.Options{Series: s, Recipients: who})
	for _, m := range th.Messages {
		for line := range strings.Lines(string(m.Raw)) {
			if len(line) > 999 {
				t.Errorf("a line of %d bytes: %.80q", len(line), line)
			}
		}
		parsed, err := netmail.ReadMessage(bytes.NewReader(m.Raw))
		if err != nil {
			t.Fatal(err)
		}
		for field, list := range map[string][]netmail.Address{"To": m.To, "Cc": m.Cc} {
			got, err := parsed.Header.AddressList(field)
			if err != nil || len(got) != len(list) {
				t.Fatalf("%s is read back as %d addresses, %v; want %d", field, len(got), err, len(list))
			}
			for i, a := range got {
				if *a != list[i] {
					t.Errorf("%s: %v is read back as %v", field, list[i], *a)
				}
			}
		}
	}
	tip, err := r.am("base", patchMails(th))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, r.describe("base", tip)); d != "" {
		t.Errorf("git am (-commits +am):\n%s", d)
	}
	need.Tool(t, "b4")
	if d := cmp.Diff(want, b4am(t, r, th)); d != "" {
		t.Errorf("b4 am (-commits +b4):\n%s", d)
	}
}
