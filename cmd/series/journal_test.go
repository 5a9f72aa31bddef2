// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/results"
)

func journalIn(t *testing.T, dir, work string) *journal {
	t.Helper()
	j, err := openJournal(dir, work, 1, 4, []string{"series", "run"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.close)
	return j
}

// memory is a folder in which fsync costs nothing.
func memory(t *testing.T) string {
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		return "/dev/shm"
	}
	return t.TempDir()
}

func journals(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+journalExt))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A journal that was cut anywhere is gone on with: what is whole counts, the rest does not, and what follows is readable.
func TestJournalCut(t *testing.T) {
	c := &cell{name: "amd64 1/3", build: &kernel.Build{ID: "b1"}}
	dir := t.TempDir()
	j := journalIn(t, dir, "w")
	for _, err := range []error{j.finished("build", c, false), j.guest(c, "k1", "pass", false), j.finished("test", c, true), j.finished("test", c, true)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	path := journals(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(whole), "\n"); n != 4 {
		t.Fatalf("%d lines, want 4:\n%s", n, whole)
	}
	for n := range len(whole) + 1 {
		dir, err := os.MkdirTemp(memory(t), "journal-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(string(whole[:n]), "\n")
		k := journalIn(t, dir, "w")
		if got := len(journals(t, dir)); got != 1 {
			t.Fatalf("cut at %d: %d journals", n, got)
		}
		if k.has("build", c) != (lines >= 2) || k.ran("k1") != (lines >= 3) || k.has("test", c) != (lines >= 4) {
			t.Errorf("cut at %d, %d lines: build %v, guest %v, test %v", n, lines, k.has("build", c), k.ran("k1"), k.has("test", c))
		}
		if err := k.finished("bench", c, false); err != nil {
			t.Fatal(err)
		}
		again, _, err := readJournal(filepath.Join(dir, k.name+journalExt))
		if want := lines + 2; err != nil || len(again) != want {
			t.Errorf("cut at %d: %d lines afterwards, %v, want %d", n, len(again), err, want)
		}
	}
}

// Only a run of the same work that has no end is gone on with.
func TestJournalOther(t *testing.T) {
	dir := t.TempDir()
	c := &cell{name: "a", build: &kernel.Build{ID: "b"}}
	first := journalIn(t, dir, "one")
	if err := first.finished("build", c, false); err != nil {
		t.Fatal(err)
	}
	if other := journalIn(t, dir, "two"); other.name == first.name || other.has("build", c) {
		t.Errorf("another work goes on with %s", first.name)
	}
	same := journalIn(t, dir, "one")
	if same.name != first.name || !same.has("build", c) {
		t.Errorf("the same work does not go on with %s", first.name)
	}
	if err := same.end(&results.Run{Verdict: results.Pass, Revision: 1}); err != nil {
		t.Fatal(err)
	}
	if next := journalIn(t, dir, "one"); next.name == first.name || next.has("build", c) {
		t.Error("a run that has ended is gone on with")
	}
	// What is no journal is left alone.
	dir = t.TempDir()
	alien := filepath.Join(dir, "v1-x"+journalExt)
	const text = "{\"event\": \"begin\", \"work\": \"one\"}\nno JSON\n{}\n"
	if err := os.WriteFile(alien, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if j := journalIn(t, dir, "one"); j.name == "v1-x" || j.has("build", c) {
		t.Error("went on with what is no journal")
	}
	if b, _ := os.ReadFile(alien); string(b) != text {
		t.Errorf("it was changed: %q", b)
	}
	if _, _, err := readJournal(alien); err == nil || !strings.Contains(err.Error(), "v1-x.jsonl:2: ") {
		t.Errorf("readJournal = %v, want an error with a line", err)
	}
}

// What came of a busy host is not counted as done; a full disk is said.
func TestJournalFails(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir, "w")
	c := &cell{name: "a", build: &kernel.Build{ID: "b"}, unkept: true}
	if err := j.finished("test", c, false); err != nil || j.has("test", c) {
		t.Errorf("a hang counts as done: %v", err)
	}
	j.file.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	j.file = full
	c.unkept = false
	if err := j.finished("test", c, false); err == nil || j.has("test", c) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a full disk: %v", err)
	}
	var none *journal
	if err := none.finished("test", c, false); err != nil || none.ran("k") {
		t.Errorf("no journal: %v", err)
	}
	none.close()
}
