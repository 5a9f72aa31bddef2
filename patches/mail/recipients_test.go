// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	netmail "net/mail"
	"strings"
	"testing"

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
