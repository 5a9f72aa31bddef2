// SPDX-License-Identifier: Apache-2.0

package intake

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
	"github.com/seriesrig/series/patches/mail"
)

// A thread that was written, taken in and written again is the same, byte for byte, whichever way it came.
func TestRoundTrip(t *testing.T) {
	for _, n := range []int{1, 3} {
		s := trial(t, n)
		if n == 1 {
			s.Cover.Body = ""
		}
		want := mboxOf(t, render(t, mail.Options{Series: s, From: jane, Revision: 3}))
		for how, path := range ways(t, want) {
			got, err := Read(path, Options{})
			if err != nil {
				t.Errorf("%d patches, %s: %v", n, how, err)
				continue
			}
			again := mboxOf(t, render(t, mail.Options{Series: write(t, got), From: jane}))
			if d := cmp.Diff(want, again); d != "" {
				t.Errorf("%d patches, %s: written again (-first +second):\n%s", n, how, d)
			}
		}
	}
}

// The series of this repository come back as what they went out.
func TestRoundTripOwn(t *testing.T) {
	all, err := patches.List("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there is no series")
	}
	for _, s := range all {
		want := render(t, mail.Options{Series: s, From: jane, AllowMissing: true})
		got, err := load(t, mboxOf(t, want), Options{})
		if err != nil {
			t.Errorf("%s: %v", s.ID, err)
			continue
		}
		if d := cmp.Diff(mboxOf(t, want), mboxOf(t, render(t, mail.Options{Series: write(t, got), From: jane}))); d != "" {
			t.Errorf("%s: written again (-first +second):\n%s", s.ID, d)
		}
		for i, p := range got.Patches {
			if q := s.Patches[i]; p.Message() != q.Message() || p.Author != q.Author {
				t.Errorf("%s: patch %d is by %s, %q; was by %s, %q", s.ID, i+1, p.Author, p.Message(), q.Author, q.Message())
			}
		}
	}
}

// ways puts the messages of an mbox into each form that they may come in.
func ways(t *testing.T, mbox string) map[string]string {
	dir := t.TempDir()
	put := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprint(w, strings.ReplaceAll(mbox, "From series ", "From mboxrd@z "))
	w.Close()
	for i, p := range patches.SplitMbox([]byte(mbox)) {
		sub := []string{"cur", "new"}[i%2]
		put(fmt.Sprintf("maildir/%s/%d.host", sub, 9-i), string(p.Raw))
		put(fmt.Sprintf("folder/%04d.eml", i), separator+string(p.Raw))
	}
	put("maildir/tmp/x", "not yet a mail")
	put("folder/README", "no mail")
	return map[string]string{"mbox": put("t.mbox", mbox), "public-inbox": put("t.mbox.gz", z.String()),
		"maildir": filepath.Join(dir, "maildir"), "folder": filepath.Join(dir, "folder")}
}

// What is not the same is seen: the comparison of TestRoundTrip rejects.
func TestRoundTripRejects(t *testing.T) {
	s := trial(t, 3)
	want := mboxOf(t, render(t, mail.Options{Series: s, From: jane}))
	for what, change := range map[string][2]string{"diff": {"+new line 20", "+New line 20"}, "message": {"Why 2.", "Why two."}, "cover": {"Why {{ so", "Why {{ not"}} {
		got, err := load(t, strings.Replace(want, change[0], change[1], 1), Options{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if mboxOf(t, render(t, mail.Options{Series: write(t, got), From: jane})) == want {
			t.Errorf("%s: a change went unnoticed", what)
		}
	}
}

func TestVersions(t *testing.T) {
	v1 := mboxOf(t, render(t, mail.Options{Series: trial(t, 3)}))
	two := trial(t, 3)
	two.Patches[1] = trialPatch(t, 2, 3, "A <a@example.org>", "Better.\n")
	v2thread := render(t, mail.Options{Series: two, Revision: 2})
	v2 := mboxOf(t, v2thread)
	short := *v2thread
	short.Messages = append(short.Messages[:2:2], short.Messages[3:]...)
	for name, tc := range map[string]struct {
		text string
		o    Options
		want int    // version, or
		bad  string // error
		note string
	}{
		"latest":         {text: v1 + v2, want: 2},
		"other order":    {text: v2 + v1, want: 2},
		"asked":          {text: v1 + v2, o: Options{Version: 1}, want: 1},
		"not there":      {text: v1 + v2, o: Options{Version: 3}, bad: "there is no v3 in it, only v2, v1"},
		"incomplete":     {text: v1 + mboxOf(t, &short), want: 1, note: "[PATCH v2] is not complete, 2/3 of it missing: taken is [PATCH]"},
		"only that":      {text: mboxOf(t, &short), bad: "[PATCH v2] is not complete: missing is 2/3"},
		"asked for that": {text: v1 + mboxOf(t, &short), o: Options{Version: 2}, bad: "missing is 2/3"},
		"twice":          {text: v2 + v2, want: 2},
		"by id":          {text: v1 + v2, o: Options{MessageID: "<" + v2thread.Messages[2].ID + ">"}, want: 2},
		"no such id":     {text: v1, o: Options{MessageID: "x@y"}, bad: "no message has the Message-Id x@y"},
		"differs":        {text: v2 + strings.Replace(v2, "new line 20", "New line 20", 1), bad: "message 7 (line 208): \"[PATCH net-next v2 2/3] f: change 2\" is there twice"},
		"no cover":       {text: mboxOf(t, &mail.Thread{Messages: v2thread.Messages[1:]}), want: 2, note: "there is no cover letter (0/3)"},
		"nothing":        {text: "From: a@b.c\nSubject: hello\n\nText.\n", bad: "there is no patch in it"},
		"quoted only": {text: mboxOf(t, &short) + separator + "From: a@b.c\nMessage-Id: <q@b>\nSubject: [PATCH net-next v2 2/3] f: change 2\n\n> diff --git a/f.c b/f.c\n> --- a/f.c\n",
			bad: "missing is 2/3 (message 4, line 105, has its subject, but no diff of its own)"},
	} {
		s, err := load(t, tc.text, tc.o)
		switch {
		case tc.bad != "":
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(tc.bad, `"`, "")) && !strings.Contains(err.Error(), tc.bad) {
				t.Errorf("%s: %v, want an error with %q", name, err, tc.bad)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case s.Revision != tc.want || len(s.Patches) != 3:
			t.Errorf("%s: v%d with %d patches, want v%d with 3", name, s.Revision, len(s.Patches), tc.want)
		case tc.note != "" && !strings.Contains(strings.Join(s.Notes, "\n"), tc.note):
			t.Errorf("%s: notes %q, want %q", name, s.Notes, tc.note)
		}
	}
}

// A trailer counts where its person gives it, and goes where the answer went.
func TestGather(t *testing.T) {
	s := trial(t, 3)
	th := render(t, mail.Options{Series: s})
	m := th.Messages
	rev := "Rev Iewer <rev@example.org>"
	deep := strings.Replace(reply(m[2], "Someone <some@example.org>", "Hm.\n"), "<r", "<deep", 1)
	deepID := strings.TrimSuffix(strings.SplitN(strings.SplitN(deep, "Message-Id: <", 2)[1], ">", 2)[0], "")
	nested := separator + "From: " + rev + "\nSubject: Re: x\nDate: Sat, 3 Jan 2026 03:04:05 +0000\nMessage-Id: <n@example.org>\nIn-Reply-To: <" + deepID + ">\n\nTested-by: " + rev + "\n"
	for name, tc := range map[string]struct {
		reply string
		want  map[int]string // patch: what its last line is
		note  string
	}{
		"one":       {reply: reply(m[1], rev, "> Why 1.\n\nReviewed-by: "+rev+"\n\nThanks\n"), want: map[int]string{1: "Reviewed-by: " + rev}},
		"cover":     {reply: reply(m[0], rev, "Acked-by: "+rev), want: map[int]string{1: "Acked-by: " + rev, 2: "Acked-by: " + rev, 3: "Acked-by: " + rev}},
		"case":      {reply: reply(m[3], rev, "ACKED-BY:   Rev  Iewer <REV@example.org> # on arm"), want: map[int]string{3: "Acked-by: Rev Iewer <REV@example.org> # on arm"}},
		"nested":    {reply: deep + nested, want: map[int]string{2: "Tested-by: " + rev}},
		"quoted":    {reply: reply(m[1], rev, "> Reviewed-by: "+rev+"\n>Acked-by: "+rev+"\n | Tested-by: "+rev)},
		"forged":    {reply: reply(m[1], "Mallory <mal@example.org>", "Reviewed-by: "+rev), note: "not taken: the reply is from mal@example.org"},
		"name only": {reply: reply(m[1], "Rev Iewer <rev@example.com>", "Reviewed-by: "+rev), note: "not taken: the reply is from rev@example.com"},
		"two From":  {reply: strings.Replace(reply(m[1], "Mallory <mal@example.org>", "Reviewed-by: "+rev), "Subject:", "From: "+rev+"\nSubject:", 1), note: "no From: with one address"},
		"two names": {reply: reply(m[1], "Mallory <mal@example.org>, "+rev, "Reviewed-by: "+rev), note: "no From: with one address"},
		"two in it": {reply: reply(m[1], rev, "Reviewed-by: "+rev+" and Mallory <mal@example.org>"), note: "more behind the address"},
		"nobody":    {reply: reply(m[1], rev, "Reviewed-by: me"), note: "it names nobody"},
		"escape":    {reply: reply(m[1], rev, "Reviewed-by: \x1b[2J"+rev), note: "characters that do not print"},
		"sign-off":  {reply: reply(m[1], rev, "Signed-off-by: "+rev)},
		"signature": {reply: reply(m[1], rev, "No.\n-- \nReviewed-by: "+rev)},
		"prose":     {reply: reply(m[1], rev, "With that you can add my Reviewed-by: "+rev)},
		"elsewhere": {reply: strings.ReplaceAll(reply(m[1], rev, "Reviewed-by: "+rev), m[1].ID, "other@example.org")},
		"html": {reply: strings.Replace(reply(m[1], rev, "--b\nContent-Type: text/html\n\nReviewed-by: "+rev+"\n--b--\n"),
			"Subject:", "Content-Type: multipart/mixed; boundary=b\nSubject:", 1), note: "passed over"},
		"multipart": {reply: strings.Replace(reply(m[1], rev, "--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nReviewed-by: R=E9v <rev@example.org>\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n"),
			"Subject:", "Content-Type: multipart/signed; boundary=b\nSubject:", 1), want: map[int]string{1: "Reviewed-by: Rév <rev@example.org>"}},
	} {
		got, err := load(t, mboxOf(t, th)+tc.reply, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, p := range got.Patches {
			want := tc.want[i+1]
			if want == "" {
				want = "Signed-off-by: A Uthor <a@example.org>"
			}
			if !strings.HasSuffix(p.Body, "\n"+want+"\n") || strings.Count(p.Body, "-by:") > 2 {
				t.Errorf("%s: patch %d ends in %q, want %q", name, i+1, p.Body, want)
			}
		}
		if !strings.Contains(strings.Join(got.Notes, "\n"), tc.note) || tc.note == "" && len(got.Notes) > 0 {
			t.Errorf("%s: notes %q, want %q", name, got.Notes, tc.note)
		}
	}
}

// What was said of another version is not said of this one.
func TestGatherOtherVersion(t *testing.T) {
	rev := "Rev Iewer <rev@example.org>"
	v1 := render(t, mail.Options{Series: trial(t, 2)})
	v2 := render(t, mail.Options{Series: trial(t, 2), Revision: 2})
	text := mboxOf(t, v1) + mboxOf(t, v2) + reply(v1.Messages[1], rev, "Reviewed-by: "+rev) + reply(v2.Messages[2], rev, "> Why 2.\nAcked-by: "+rev)
	for version, want := range map[int]string{0: "patch 2: Acked-by: " + rev, 1: "patch 1: Reviewed-by: " + rev} {
		s, err := load(t, text, Options{Version: version})
		if err != nil || len(s.Gathered) != 1 || s.Gathered[0] != want {
			t.Errorf("-v %d: taken %q, %v, want %q", version, s.Gathered, err, want)
		}
	}
	// A second version that answers the first is not a reply to it.
	nested := strings.ReplaceAll(text, "In-Reply-To: <"+v2.Messages[0].ID, "In-Reply-To: <"+v1.Messages[0].ID)
	if s, err := load(t, nested, Options{}); err != nil || len(s.Gathered) != 1 || s.Revision != 2 {
		t.Errorf("nested: v%d, taken %q, %v", s.Revision, s.Gathered, err)
	}
}

// The end of a long discussion is about the patch that it began with; one that goes round in a circle is about nothing.
func TestGatherLongChain(t *testing.T) {
	th := render(t, mail.Options{Series: trial(t, 2)})
	chain := func(first string) string {
		var b strings.Builder
		parent := first
		for i := range 5000 {
			fmt.Fprintf(&b, "%sFrom: A <a@example.org>\nSubject: Re: x\nMessage-Id: <m%d@x>\nIn-Reply-To: <%s>\n\nHm.\n", separator, i, parent)
			parent = fmt.Sprintf("m%d@x", i)
		}
		fmt.Fprintf(&b, "%sFrom: A <a@example.org>\nSubject: Re: x\nMessage-Id: <end@x>\nIn-Reply-To: <%s>\n\nAcked-by: A <a@example.org>\n", separator, parent)
		return b.String()
	}
	for first, want := range map[string]int{th.Messages[2].ID: 1, "end@x": 0} {
		s, err := load(t, mboxOf(t, th)+chain(first), Options{})
		if err != nil || len(s.Gathered) != want {
			t.Errorf("a chain that begins at %s: taken %q, %v, want %d", first, s.Gathered, err, want)
		}
	}
	// More trailers than anybody gives are not all taken.
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "%sFrom: A <a%d@example.org>\nSubject: Re: x\nMessage-Id: <t%d@x>\nIn-Reply-To: <%s>\n\nAcked-by: A <a%d@example.org>\n", separator, i, i, th.Messages[1].ID, i)
	}
	s, err := load(t, mboxOf(t, th)+many.String(), Options{})
	if err != nil || strings.Count(s.Patches[0].Body, "Acked-by") != maxTrailers || len(s.Notes) == 0 {
		t.Errorf("1000 trailers: %d taken, notes %q, %v", strings.Count(s.Patches[0].Body, "Acked-by"), s.Notes, err)
	}
}

// Changes to the second patch of a thread, with the error that each must give.
func TestBadMail(t *testing.T) {
	th := render(t, mail.Options{Series: trial(t, 3)})
	raw := string(th.Messages[2].Raw)
	line := patches.SplitMbox([]byte(mboxOf(t, th)))[2].Line
	plain := "Content-Type: text/plain; charset=UTF-8\n"
	head, body, _ := strings.Cut(raw, "\n\n")
	var nested strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&nested, "--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n", i, i+1)
	}
	for name, tc := range map[string]struct{ text, want string }{
		"CR LF":      {strings.ReplaceAll(raw, "\n", "\r\n"), "line 1 of the message ends in CR LF"},
		"body CR LF": {head + "\n\n" + strings.ReplaceAll(body, "\n", "\r\n"), "ends in CR LF"},
		"NUL":        {strings.Replace(raw, "Why 2", "Why\x002", 1), "NUL byte in line"},
		"header NUL": {"X: a\x00b\n" + raw, "NUL byte in the header, in line 1"},
		"long line":  {strings.Replace(raw, "Why 2", strings.Repeat("x", 10<<20), 1), "of the message has more than 1024 KiB"},
		"long field": {"X: " + strings.Repeat("x", 10<<20) + "\n" + raw, "in its header, has more than 1024 KiB"},
		"many lines": {strings.Replace(raw, "Why 2", strings.Repeat("xxxxxxxxxxxxxxx\n", 1<<20), 1), "more than 12 MiB"},
		"charset":    {strings.Replace(strings.Replace(raw, plain, "Content-Type: text/plain; charset=koi8-r\n", 1), "Why 2", "Why \xd7", 1), "the charset is koi8-r"},
		"no charset": {strings.Replace(raw, plain, "Content-Type: text/plain; charset=no-such-thing\n", 1), "charset"},
		"not UTF-8":  {strings.Replace(raw, "Why 2", "Why \xff", 1), "the body is not UTF-8, in line 3 of it"},
		"html":       {strings.Replace(raw, plain, "Content-Type: text/html\n", 1), "it is text/html, not text/plain"},
		"flowed":     {strings.Replace(raw, plain, "Content-Type: text/plain; charset=utf-8; format=flowed\n", 1), "format=flowed"},
		"attached":   {strings.Replace(head, plain, "Content-Type: multipart/mixed; boundary=b\n", 1) + "\n\n--b\n" + plain + "\n" + body + "\n--b--\n", "a part of multipart/mixed"},
		"no end":     {strings.Replace(head, plain, "Content-Type: multipart/mixed; boundary=b\n", 1) + "\n\n--b\nContent-Type: text/html\n\nx", "EOF"},
		"nested":     {strings.Replace(head, plain, "Content-Type: multipart/mixed; boundary=b0\n", 1) + "\n\n" + nested.String(), "nested more than 8 deep"},
		"base64":     {strings.Replace(raw, "Encoding: 8bit", "Encoding: base64", 1), "body: "},
		"uuencode":   {strings.Replace(raw, "Encoding: 8bit", "Encoding: x-uuencode", 1), "x-uuencode"},
		"type":       {strings.Replace(raw, plain, "Content-Type: ;;;\n", 1), "content type"},
		"no colon":   {"no colon\n" + raw, "header: "},
		"no From":    {strings.Replace(raw, "From: ", "X-From: ", 1), "it has no From: with one address"},
		"two From":   {"From: Mallory <mal@example.org>\n" + raw, "no From: with one address"},
		"no Date":    {strings.Replace(raw, "Date: ", "X-Date: ", 1), "no Date:"},
		"cut":        {raw[:strings.Index(raw, " line 21\n")], "cut short"},
		"more":       {strings.Replace(raw, "-- \n", "+one too many\n-- \n", 1), "belongs to no hunk"},
		"wrapped":    {strings.Replace(raw, " line 21\n", " line\n21\n", 1), "does not fit its header"},
		"escape":     {strings.Replace(raw, "Why 2", "Why \x1b[2J", 1), "control character"},
		"path":       {strings.ReplaceAll(raw, "b/f.c", "b/../f.c"), "leads out of the tree"},
	} {
		start := time.Now()
		s := &mail.Thread{Messages: append([]*mail.Message{}, th.Messages...)}
		s.Messages[2] = &mail.Message{Raw: []byte(tc.text)}
		_, err := load(t, mboxOf(t, s), Options{})
		var bad *Error
		switch {
		case !errors.As(err, &bad):
			t.Errorf("%s: %v, want an *Error", name, err)
		case bad.Message != 3 || bad.Line != line || !strings.Contains(err.Error(), tc.want):
			t.Errorf("%s: %v, want message 3 (line %d) with %q", name, err, line, tc.want)
		case strings.ContainsAny(err.Error(), "\n\x1b\x00") || len(err.Error()) > 500:
			t.Errorf("%s: the error is not one line of text: %q", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

// A mail does not choose whose Makefile is run: of the bases that it may name only Debian's are taken.
func TestBaseOfMail(t *testing.T) {
	for base, want := range map[string]string{"debian:linux-source-6.12": "debian:linux-source-6.12", "git:https://example.org/evil#main": "", "dir:/tmp/x": "",
		"tar:https://example.org/x.tar": "", "debian:../x": ""} {
		s := trial(t, 2)
		s.Base = base
		got, err := load(t, mboxOf(t, render(t, mail.Options{Series: s})), Options{})
		if err != nil || got.Base != want {
			t.Errorf("base of a thread on %s = %q, %v, want %q", base, got.Base, err, want)
		}
	}
}

// What is broken and no patch is passed over.
func TestBrokenReply(t *testing.T) {
	th := render(t, mail.Options{Series: trial(t, 3)})
	s, err := load(t, mboxOf(t, th)+strings.Replace(reply(th.Messages[1], "A <a@example.org>", "x"), "Subject:", "Content-Type: multipart/mixed; boundary=x\nSubject:", 1), Options{})
	if err != nil || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "message 5 (line 143) passed over") {
		t.Errorf("notes %q, %v", s.Notes, err)
	}
}

func TestBadSources(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprint(w, strings.Repeat("x\n", 10000))
	w.Close()
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		put("nothing", " \n"):                              "is empty",
		put("short.gz", z.String()[:z.Len()-9]):            "is packed by gzip, and broken",
		put("broken.gz", "\x1f\x8b\x08xxxxxxxxxxxxxxxxxx"): "gzip",
		filepath.Join(dir, "empty"):                        "has no mail in it",
		filepath.Join(dir, "none"):                         "no such file",
		"/dev/null":                                        "is neither a file nor a folder",
	} {
		if _, err := Read(path, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%s) = %v, want an error with %q", path, err, want)
		}
	}
}

// Nothing is there after a write that fails, and nothing is written over.
func TestWriteWhole(t *testing.T) {
	s, err := load(t, mboxOf(t, render(t, mail.Options{Series: trial(t, 3)})), Options{})
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	target := Target{Root: root, Base: "debian:linux-source-6.12", Arches: []string{"amd64"}}
	for name, change := range map[string]func(t *Target){
		"id": func(t *Target) { t.ID = "Not An Id" }, "path": func(t *Target) { t.ID = "../x" }, "base": func(t *Target) { t.Base = "nonsense" },
		"arch": func(t *Target) { t.Arches = []string{"sparc"}; t.Loader.Arches = []string{"amd64"} }, "root": func(t *Target) { t.Root = "/nonexistent" },
	} {
		bad := target
		change(&bad)
		if dir, err := s.Write(bad); err == nil {
			t.Errorf("%s: wrote %s", name, dir)
		}
		if left, _ := filepath.Glob(filepath.Join(root, ".*")); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	if _, err := s.Write(target); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(target); !errors.Is(err, os.ErrExist) {
		t.Errorf("second Write = %v, want %v", err, os.ErrExist)
	}
	if all, _ := filepath.Glob(filepath.Join(root, "*")); len(all) != 1 {
		t.Errorf("in the folder is %v", all)
	}
}

// Who got only some of the messages is left to MAINTAINERS; where nobody got all, the first message says.
func TestCommonRecipients(t *testing.T) {
	message := func(n int, to, cc string) string {
		diff := ""
		if n > 0 {
			diff = fmt.Sprintf("---\ndiff --git a/f%d b/f%d\nnew file mode 100644\nindex 0000000..1234567\n--- /dev/null\n+++ b/f%d\n@@ -0,0 +1 @@\n+1\n-- \n2.39.5\n", n, n, n)
		}
		return fmt.Sprintf("From x Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\nTo: %s\nCc: %s\nSubject: [PATCH %d/2] f: add %d\nDate: Fri, 2 Jan 2026 03:04:05 +0100\nMessage-Id: <%d@x>\n\nWhy.\n%s\n", to, cc, n, n, n, diff)
	}
	for name, c := range map[string]struct{ thread, wantTo, wantCc string }{
		"some": {thread: message(0, "list@example.org, M1 <m1@example.org>, m2@example.org", "other@example.org") +
			message(1, "LIST@example.org, M1 <m1@example.org>", "other@example.org") + message(2, "list@example.org, m2@example.org", "other@example.org"),
			wantTo: "list@example.org", wantCc: "other@example.org"},
		"none in To": {thread: message(0, "m1@example.org", "list@example.org") + message(1, "m1@example.org", "list@example.org") + message(2, "m2@example.org", "list@example.org"),
			wantTo: "list@example.org"},
		"nobody": {thread: message(0, "m1@example.org, m2@example.org", "x@example.org") + message(1, "m1@example.org", "y@example.org") + message(2, "m2@example.org", "z@example.org"),
			wantTo: "m1@example.org m2@example.org", wantCc: "x@example.org"},
	} {
		s, err := ReadFrom("x.mbox", strings.NewReader(c.thread), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if to, cc := strings.Join(s.To, " "), strings.Join(s.Cc, " "); to != c.wantTo || cc != c.wantCc {
			t.Errorf("%s: to %q, cc %q, want %q and %q", name, to, cc, c.wantTo, c.wantCc)
		}
	}
}
