// SPDX-License-Identifier: Apache-2.0

package send_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
