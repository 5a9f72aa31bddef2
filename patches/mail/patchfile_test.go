// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// A message gives back the patch that it was made of, and the stored form of that makes the same commit with git am.
func TestMessagePatch(t *testing.T) {
	for name, changes := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := history(t, changes)
			th := render(t, mail.Options{Series: s, From: jane, ReadBase: r.readBase("base")})
			ms, err := mail.Parse(bytes.NewReader(mbox(th)))
			if err != nil {
				t.Fatal(err)
			}
			ps, err := (&mail.Thread{Messages: ms}).Patches()
			if err != nil {
				t.Fatal(err)
			}
			var stored bytes.Buffer
			for i, p := range ps {
				if q := s.Patches[i]; p.Author != q.Author || p.Message() != q.Message() || !mail.SameDiff(p, q) {
					t.Errorf("patch %d is by %s, %q; was by %s, %q", i+1, p.Author, p.Message(), q.Author, q.Message())
				}
				if !bytes.Contains(p.Raw, []byte("\n-- \n")) {
					t.Errorf("patch %d has no end", i+1)
				}
				stored.Write(p.Raw)
				if strings.Contains(p.Body, "\nFrom ") || strings.Contains(string(p.Raw), "\nFrom me@x Mon") {
					return // as an mbox it would be cut there; each is a file
				}
			}
			tip, err := r.am("base", stored.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if want, got := r.describe("base", "main"), r.describe("base", tip); want != got {
				t.Errorf("git am of the stored patches is\n%s\nnot\n%s", got, want)
			}
		})
	}
}

// A trailer goes to the end of the message, once, and nothing else changes.
func TestAddTrailer(t *testing.T) {
	const line = "Acked-by: Rev Iewer <rev@example.org>"
	for name, changes := range cases {
		_, s := history(t, changes)
		for i, p := range s.Patches {
			q, err := mail.AddTrailer(p, line)
			if err != nil {
				t.Errorf("%s: patch %d: %v", name, i+1, err)
				continue
			}
			if !strings.HasSuffix(q.Body, line+"\n") || !strings.HasPrefix(q.Body, strings.TrimSuffix(p.Body, "\n")) || !mail.SameDiff(p, q) || q.Notes != p.Notes || q.Author != p.Author {
				t.Errorf("%s: patch %d: the message is %q, was %q", name, i+1, q.Body, p.Body)
			}
			if last := q.Trailers; len(last) == 0 || last[len(last)-1].Value != "Rev Iewer <rev@example.org>" {
				t.Errorf("%s: patch %d: it is no trailer of %q", name, i+1, q.Body)
			}
			if again, err := mail.AddTrailer(q, line); err != nil || !bytes.Equal(again.Raw, q.Raw) {
				t.Errorf("%s: patch %d: added twice: %v", name, i+1, err)
			}
		}
	}
}

func TestAddTrailerTo(t *testing.T) {
	s := trial(t)
	for body, want := range map[string]string{
		"":        "X: y\n",
		"Text.\n": "Text.\n\nX: y\n",
		"Text.\n\nLink: https://x\n [ a note ]\n":                        "Text.\n\nLink: https://x\n [ a note ]\nX: y\n",
		"Text.\n\n[ me: mended ]\nSigned-off-by: A <a@b.c>\n":            "Text.\n\n[ me: mended ]\nSigned-off-by: A <a@b.c>\nX: y\n",
		"Text.\n\n    code = 1\n":                                        "Text.\n\n    code = 1\n\nX: y\n",
		"Text.\n\nNote: this\nis prose.\n":                               "Text.\n\nNote: this\nis prose.\n\nX: y\n",
		"Text.\n\nx: Y\n":                                                "Text.\n\nx: Y\n",
		"Cc: <stable@vger.kernel.org>\n(cherry picked from commit 12)\n": "Cc: <stable@vger.kernel.org>\n(cherry picked from commit 12)\nX: y\n",
	} {
		raw := bytes.Replace(s.Patches[0].Raw, []byte("Because of this.\n\nLink: https://example.org/1\n"), []byte(body), 1)
		p, err := patches.ParsePatch("x.patch", raw)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := mail.AddTrailer(p, "X: y"); err != nil || q.Body != want {
			t.Errorf("AddTrailer to %q = %q, %v, want %q", body, q.Body, err, want)
		}
	}
}

func TestMessagePatchRefuses(t *testing.T) {
	s := trial(t)
	good := *render(t, mail.Options{Series: s}).Messages[1]
	for name, tc := range map[string]struct{ old, new, want string }{
		"no diff":   {"diff --git", "> diff --git", mail.ErrNoDiff.Error()},
		"more":      {"-- \n", "+more\n-- \n", "belongs to no hunk"},
		"escape":    {"Because", "\x1b[2J", "control character"},
		"bad names": {"+++ b/kernel/audit.c", "+++ b/kernel/other.c", "names do not agree"},
		"cut":       {" \tthree\n-- \nseries v0.1.0\n", "", "cut short"},
	} {
		m := good
		if m.Body = strings.Replace(good.Body, tc.old, tc.new, 1); m.Body == good.Body {
			t.Errorf("%s: %q is not in\n%s", name, tc.old, good.Body)
			continue
		}
		_, err := m.Patch("x.patch")
		var bad *patches.InputError
		if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, mail.ErrNoDiff) && !errors.As(err, &bad) {
			t.Errorf("%s: %v, want an error with %q", name, err, tc.want)
		}
	}
	m := good
	m.Body = strings.Replace(good.Body, " kernel/audit.c", "\n---\nbase-commit: x\nchange-id: y\n kernel/audit.c", 1)
	if _, err := m.Patch("x.patch"); err != nil {
		t.Errorf("notes: %v", err)
	}
}
