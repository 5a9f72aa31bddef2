// SPDX-License-Identifier: Apache-2.0

package send_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches/mail/send"
)

const head = `{"thread":"x","messages":[`

func journal(t testing.TB, dir string, messages []*send.Message) (*send.Journal, error) {
	t.Helper()
	j, err := send.OpenJournal(dir, "", messages)
	if j != nil {
		t.Cleanup(func() { j.Close() })
	}
	return j, err
}

func file(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "journal.jsonl"))
	if err != nil || len(names) != 1 {
		t.Fatalf("journals: %q, %v", names, err)
	}
	return names[0]
}

func TestJournalStates(t *testing.T) {
	messages := freeze(t, thread(3), send.FreezeOptions{})
	const end1, sent1 = `{"message":1,"event":"end"}` + "\n", `{"message":1,"event":"sent"}` + "\n"
	for lines, want := range map[string]string{
		"":                      ",,",
		end1:                    "unknown,,",
		end1 + sent1:            "sent,,",
		end1 + sent1[:10]:       "unknown,,", // the program died in the middle of a line
		end1 + sent1 + end1[:3]: "sent,,",
		end1 + `{"message":1,"event":"refused"}` + "\n":                                             ",,",
		end1 + `{"message":1,"event":"resend"}` + "\n":                                              ",,",
		end1 + `{"message":1,"event":"assumed-sent"}` + "\n" + `{"message":2,"event":"end"}` + "\n": "sent,unknown,",
	} {
		dir := t.TempDir()
		j, err := journal(t, dir, messages)
		if err != nil {
			t.Fatal(err)
		}
		j.Close()
		f, err := os.OpenFile(file(t, dir), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(lines); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if j, err = journal(t, dir, messages); err != nil {
			t.Errorf("%q: %v", lines, err)
			continue
		}
		var got []string
		for _, s := range j.States {
			got = append(got, string(s))
		}
		if g := strings.Join(got, ","); g != want {
			t.Errorf("%q: states %q, want %q", lines, g, want)
		}
	}
}

func TestJournalBad(t *testing.T) {
	messages := freeze(t, thread(2), send.FreezeOptions{})
	for text, want := range map[string]string{
		"nonsense\n":             ":1: not a journal",
		head + "]}\n" + "{}\n":   "begun with 0 messages and has 2",
		"@" + `{"message":3}`:    "no message 3",
		"@" + `{"message":0}`:    "no message 0",
		"@" + `{"message":1}`:    `unknown event ""`,
		"@" + "\x00\x00\x00":     "not a journal",
		"@" + `{"message":1e99}`: "not a journal",
	} {
		dir := t.TempDir()
		j, err := journal(t, dir, messages)
		if err != nil {
			t.Fatal(err)
		}
		j.Close()
		name := file(t, dir)
		if rest, ok := strings.CutPrefix(text, "@"); ok {
			have, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text = string(have) + rest + "\n"
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := journal(t, dir, messages); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenJournal with %q = %v, want %q", text, err, want)
		}
	}
}

// A thread that is on its way cannot be changed; one of which nothing has gone out can.
func TestJournalChanged(t *testing.T) {
	messages := freeze(t, thread(2), send.FreezeOptions{})
	other := freeze(t, strings.Replace(thread(2), "QUIT", "quit", 2), send.FreezeOptions{})
	dir := t.TempDir()
	for _, m := range [][]*send.Message{messages, other, messages} {
		j, err := journal(t, dir, m)
		if err != nil {
			t.Fatal(err)
		}
		j.Close()
	}
	f, err := os.OpenFile(file(t, dir), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"message":1,"event":"sent"}` + "\n")
	f.Close()
	var changed *send.ChangedError
	if _, err := journal(t, dir, other); !errors.As(err, &changed) {
		t.Errorf("another text: %v, want a *ChangedError", err)
	}
	fewer := freeze(t, thread(2), send.FreezeOptions{Only: "me@example.org"})
	if _, err := journal(t, dir, fewer); !errors.As(err, &changed) {
		t.Errorf("other recipients: %v, want a *ChangedError", err)
	}
	j, err := journal(t, dir, messages)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send.OpenJournal(dir, "", messages); err == nil || !strings.Contains(err.Error(), "being sent by another process") {
		t.Errorf("a second process: %v", err)
	}
	if j.Count(send.Sent) != 1 {
		t.Errorf("%d messages are sent, want 1", j.Count(send.Sent))
	}
	if frozen, err := os.ReadFile(filepath.Join(j.Dir, "0002.eml")); err != nil || string(frozen) != string(messages[1].Raw) {
		t.Errorf("the frozen message: %v, %q", err, frozen)
	}
}

// A thread is of the day on which it goes out; what is left of it, of the day on which it was begun.
func TestJournalKeepsDates(t *testing.T) {
	dir := t.TempDir()
	first := time.Date(2026, 11, 22, 9, 59, 58, 0, time.FixedZone("", 3600))
	begun := freeze(t, thread(3), send.FreezeOptions{Now: first})
	dates := func(ms []*send.Message) (out []string) {
		for _, m := range ms {
			_, rest, _ := strings.Cut(string(m.Data), "\r\nDate: ")
			date, _, _ := strings.Cut(rest, "\r\n")
			out = append(out, date)
		}
		return out
	}
	want := []string{"Sun, 22 Nov 2026 09:59:58 +0100", "Sun, 22 Nov 2026 09:59:59 +0100", "Sun, 22 Nov 2026 10:00:00 +0100"}
	if d := cmp.Diff(want, dates(begun)); d != "" {
		t.Errorf("dates (-want +got):\n%s", d)
	}
	if n := strings.Count(string(begun[0].Data), "Date:"); n != 1 {
		t.Errorf("%d fields Date, want 1", n)
	}
	j, err := journal(t, dir, begun)
	if err != nil {
		t.Fatal(err)
	}
	j.Close()

	// Nothing of it went out.
	second := freeze(t, thread(3), send.FreezeOptions{Now: first.Add(24 * time.Hour)})
	if j, err = journal(t, dir, second); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if got := dates(j.Messages())[0]; got != "Mon, 23 Nov 2026 09:59:58 +0100" {
		t.Errorf("a thread of which nothing went out is of %s", got)
	}
	f, err := os.OpenFile(file(t, dir), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"message":1,"event":"end"}` + "\n" + `{"message":1,"event":"sent"}` + "\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()

	third := freeze(t, thread(3), send.FreezeOptions{Now: first.Add(48 * time.Hour)})
	if j, err = journal(t, dir, third); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if d := cmp.Diff(dates(second), dates(j.Messages())); d != "" {
		t.Errorf("dates of what goes on (-as begun +got):\n%s", d)
	}
	if got := dates(third)[0]; got != "Tue, 24 Nov 2026 09:59:58 +0100" {
		t.Errorf("a message of the caller's was given the date %s", got)
	}
	// Another text is another thread, whatever its date.
	changed := freeze(t, strings.ReplaceAll(thread(3), "QUIT", "HELP"), send.FreezeOptions{Now: first})
	var other *send.ChangedError
	if _, err := journal(t, dir, changed); !errors.As(err, &other) {
		t.Errorf("a changed thread: %v, want a ChangedError", err)
	}
	// So is a frozen message that somebody changed.
	name := filepath.Join(filepath.Dir(file(t, dir)), "0002.eml")
	frozen, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(frozen), "09:59:59", "09:59:57", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journal(t, dir, freeze(t, thread(3), send.FreezeOptions{Now: first})); !errors.As(err, &other) {
		t.Errorf("a frozen message of another date: %v, want a ChangedError", err)
	}
}

// A folded Date is one field, and what only looks like one in the text is none.
func TestFreezeDate(t *testing.T) {
	mbox := strings.Replace(thread(1), "Date: Sat, 21 Nov 2026", "date:\n Sat, 21\n Nov 2026", 1)
	mbox = strings.Replace(mbox, "QUIT", "Date: in the text", 1)
	m := freeze(t, mbox, send.FreezeOptions{Now: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)})[0]
	if text := string(m.Raw); !strings.Contains(text, "\nDate: Tue, 1 Dec 2026 00:00:00 +0000\nMessage-Id:") || strings.Contains(text, "21\n Nov") || !strings.Contains(text, "\nDate: in the text\n") {
		t.Errorf("the date was put elsewhere:\n%s", text)
	}
}
