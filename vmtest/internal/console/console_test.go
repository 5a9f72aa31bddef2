// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

func read(t *testing.T, text string) (State, string) {
	t.Helper()
	var out bytes.Buffer
	l := New(&out, 1<<20)
	// In pieces, as it comes from a socket.
	for i := 0; i < len(text); i += 7 {
		if _, err := l.Write([]byte(text[i:min(i+7, len(text))])); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	return l.State(), out.String()
}

// Each file of testdata has logs of one class; the comment above says what is to be found in each, by the log's name:
// the title, and the number of lines in the excerpt.
func TestLogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatalf("testdata: %q, %v", files, err)
	}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for line := range strings.Lines(string(ar.Comment)) {
			if name, title, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
				want[name] = title
			}
		}
		for _, f := range ar.Files {
			s, _ := read(t, string(f.Data))
			got := "nothing"
			var found Finding
			switch {
			case s.Root.Count > 0:
				got, found = "root "+s.Root.Title, s.Root
			case s.Panic.Count > 0:
				got, found = "panic "+s.Panic.Title, s.Panic
			case s.Splat.Count > 0:
				got, found = "splat "+s.Splat.Title, s.Splat
			}
			if got != want[f.Name] {
				t.Errorf("%s: %s: found %q, want %q", file, f.Name, got, want[f.Name])
			}
			delete(want, f.Name)
			if found.Count == 0 {
				continue
			}
			lines := strings.Split(string(f.Data), "\n")
			if found.Line < 1 || found.Line > len(lines) || !strings.Contains(lines[found.Line-1], found.Title) {
				t.Errorf("%s: %s: not in line %d", file, f.Name, found.Line)
			}
			if len(found.Excerpt) == 0 || !strings.Contains(found.Excerpt[0], found.Title) {
				t.Errorf("%s: %s: excerpt %q", file, f.Name, found.Excerpt)
			}
		}
		for name := range want {
			t.Errorf("%s: no log %s", file, name)
		}
	}
}

func TestExcerpt(t *testing.T) {
	var b strings.Builder
	b.WriteString("[    1.0] Linux version 6.12.117\n[    1.1] WARNING: CPU: 0 PID: 7 at kernel/audit.c:1 f+0x1/0x2\n")
	b.WriteString("[    1.2]  g+0x1/0x2\n[    1.3] ---[ end trace 0000000000000000 ]---\n[    1.4] later\n")
	b.WriteString("[    2.0] WARNING: CPU: 0 PID: 7 at kernel/fork.c:1 f+0x1/0x2\n")
	for range 100 {
		b.WriteString("[    3.0] BUG: and so on\n")
	}
	s, _ := read(t, b.String())
	want := Finding{Title: "WARNING: CPU: 0 PID: 7 at kernel/audit.c:1 f+0x1/0x2", Line: 2, Count: 102, Excerpt: []string{
		"[    1.1] WARNING: CPU: 0 PID: 7 at kernel/audit.c:1 f+0x1/0x2", "[    1.2]  g+0x1/0x2",
		"[    1.3] ---[ end trace 0000000000000000 ]---"}}
	if diff := cmp.Diff(want, s.Splat); diff != "" {
		t.Errorf("first splat (-want +got):\n%s", diff)
	}
	if !s.Kernel || s.Init || len(s.Tail) != 20 {
		t.Errorf("state %+v", s)
	}
	long := "BUG: start\n" + strings.Repeat("trace\n", 1000)
	if s, _ := read(t, long); len(s.Splat.Excerpt) != maxExcerpt {
		t.Errorf("excerpt of %d lines, want %d", len(s.Splat.Excerpt), maxExcerpt)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                          "plain",
		"tab\tstays":                     "tab\tstays",
		"\x1b[31mred\x1b[0m":             "red",
		"\x1b]0;title\x07text":           "text",
		"\x1b]0;no end":                  "",
		"\x1bPdevice\x1b\\text":          "text",
		"\x1b(Bx\x1bc":                   "x",
		"\x1b":                           "",
		"cr\r":                           "cr",
		"bell\a back\b nul\x00 del\x7f":  "bell back nul del",
		"c1\xc2\x9b31m":                  "c131m",
		"bad\xff\xfe":                    "bad\ufffd\ufffd",
		"right to left\u202egnp.exe":     "right to left\ufffdgnp.exe",
		"grüße, 世界":                      "grüße, 世界",
		"\x1b[1;31mKernel panic\x1b[0m!": "Kernel panic!",
	} {
		if got := Clean([]byte(in)); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFlood(t *testing.T) {
	var out bytes.Buffer
	l := New(&out, 10_000)
	for range 1000 {
		l.Write([]byte("a line of twenty-six bytes\n"))
	}
	if s := l.State(); !s.Flooded || s.Bytes != 27_000 {
		t.Errorf("flooded %v after %d bytes, want so after 27000", s.Flooded, s.Bytes)
	}
	if out.Len() > 10_000 || out.Len() < 9_000 {
		t.Errorf("the log has %d bytes, want at most 10000", out.Len())
	}
	// One line without an end takes no more memory than many.
	l = New(&out, 1<<30)
	for range 1000 {
		l.Write(bytes.Repeat([]byte("x"), 1000))
	}
	if cap(l.partial) > 4*maxLine {
		t.Errorf("a line without an end holds %d bytes", cap(l.partial))
	}
	if s := l.State(); s.Lines != 1_000_000/maxLine {
		t.Errorf("%d lines, want %d", s.Lines, 1_000_000/maxLine)
	}
}

type fullDisk struct{}

var errFull = errors.New("no space")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestFullDisk(t *testing.T) {
	l := New(fullDisk{}, 1<<20)
	if _, err := l.Write([]byte("Kernel panic - not syncing: x\n")); !errors.Is(err, errFull) {
		t.Errorf("Write = %v, want the disk's error", err)
	}
	if s := l.State(); s.Panic.Count != 1 {
		t.Error("the panic was not seen")
	}
}

func FuzzLog(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x1b[31m\x1b]0;\n<4>[1.0][T1] BUG: \xff\r\n---[ end "))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		l := New(&out, 1<<16)
		l.Write(b)
		l.Flush()
		for _, c := range out.String() {
			if c < ' ' && c != '\n' && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 {
				t.Fatalf("the log has %q in it", c)
			}
		}
		s := l.State()
		if len(s.Splat.Excerpt) > maxExcerpt || s.Splat.Line > s.Lines || s.Lines != bytes.Count(out.Bytes(), []byte("\n")) {
			t.Errorf("state %+v", s)
		}
	})
}
