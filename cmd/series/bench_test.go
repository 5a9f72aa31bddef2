// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
)

// The benchmarks measure the program as a user runs it: make bench builds bin/series, names it and the checkout in the
// environment, and prints what it saw. An iteration is one whole command.

// program is the built program, and the folder to run it in.
func program(b *testing.B) (bin, root string) {
	b.Helper()
	bin = os.Getenv("SERIES_BENCH_PROGRAM")
	if bin == "" {
		need.Missing(b, "SERIES_BENCH_PROGRAM is not set; use make bench")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		b.Fatal(err)
	}
	return bin, root
}

func command(b *testing.B, dir, bin string, args ...string) {
	b.Helper()
	cmd := exec.CommandContext(context.Background(), bin, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s %s: %v\n%s", filepath.Base(bin), strings.Join(args, " "), err, stderr.Bytes())
	}
}

// trivial is a series whose only test does nothing, on the kernels of kauditd-wakeup.
const trivial = "vmtest/guesttests/trivial"

// BenchmarkTest is the time from the command to the verdict of a guest test that does nothing, in a guest that is
// booted cold, with the kernel built.
func BenchmarkTest(b *testing.B) {
	bin, root := program(b)
	for _, arch := range []string{"amd64", "ppc64"} {
		b.Run(arch, func(b *testing.B) {
			args := []string{"test", "kauditd-wakeup", "--arch", arch, "--patch", "0", "--package", "./" + trivial, "--fresh", "--again", "-q"}
			command(b, root, bin, args...)
			for b.Loop() {
				command(b, root, bin, args...)
			}
		})
	}
}

// BenchmarkEach is fifty guest tests that do nothing, each in a guest of its own that is restored from a snapshot.
func BenchmarkEach(b *testing.B) {
	bin, root := program(b)
	for _, arch := range []string{"amd64", "ppc64"} {
		b.Run(arch, func(b *testing.B) {
			args := []string{"test", "kauditd-wakeup", "--arch", arch, "--patch", "0", "--package", "./vmtest/guesttests/fifty", "--no-fresh", "--again", "-q"}
			command(b, root, bin, args...)
			for b.Loop() {
				command(b, root, bin, args...)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/50, "sec/test")
		})
	}
}

// BenchmarkRunAgain is a whole run in which nothing has changed.
func BenchmarkRunAgain(b *testing.B) {
	bin, root := program(b)
	args := []string{"run", "kauditd-wakeup", "--arch", "amd64,ppc64", "-q"}
	command(b, root, bin, args...)
	for b.Loop() {
		command(b, root, bin, args...)
	}
}

// BenchmarkApply is the application of a 100-patch series to the whole kernel tree: in memory, and as a git branch.
func BenchmarkApply(b *testing.B) {
	bin, root := program(b)
	source := need.Source(b)
	dir := b.TempDir()
	many(b, dir, "hundred", 100, source)
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			command(b, root, bin, "apply", "hundred", "--patches", dir, "-n", "-q")
		}
	})
	b.Run("branch", func(b *testing.B) {
		repo := filepath.Join(b.TempDir(), "repo.git")
		command(b, root, bin, "apply", "hundred", "--patches", dir, "--out", repo, "-q")
		n := 0
		for b.Loop() {
			n++
			command(b, root, bin, "apply", "hundred", "--patches", dir, "--out", repo, "--branch", fmt.Sprintf("try/%d", n), "-q")
		}
	})
}

// BenchmarkPost makes a thread of a hundred patches and judges it, beside what other programs take to make one of the same
// patches. Theirs are in a repository of only the files that are touched, which spares them the other 86,000.
func BenchmarkPost(b *testing.B) {
	bin, root := program(b)
	source := need.Source(b)
	dir := b.TempDir()
	repo := small(b, dir, source, many(b, dir, "hundred", 100, source))
	mbox := filepath.Join(dir, "hundred.mbox")
	lint := func(b *testing.B) { // it ends with 1: nobody has signed off
		cmd := exec.Command(bin, "lint", mbox, "--no-checkpatch", "-q")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 1 || bytes.Count(out, []byte("[signoff-missing]")) != 100 {
			b.Fatalf("series lint: %v\n%s", err, out)
		}
	}
	b.Run("series", func(b *testing.B) {
		for b.Loop() {
			command(b, root, bin, "mail", "hundred", "--patches", dir, "--no-maintainers", "-o", mbox, "-q")
			lint(b)
		}
	})
	b.Run("series-lint-alone", func(b *testing.B) {
		for b.Loop() {
			lint(b)
		}
	})
	b.Run("git-format-patch", func(b *testing.B) {
		for b.Loop() {
			command(b, repo, "git", "format-patch", "-q", "--cover-letter", "-o", b.TempDir(), "base..work")
		}
	})
	need.Tool(b, "b4")
	command(b, repo, "b4", "prep", "--enroll", "base")
	b.Run("b4-prep-p", func(b *testing.B) { // which has no lint
		for b.Loop() {
			command(b, repo, "b4", "prep", "-p", b.TempDir())
		}
	})
}

// BenchmarkRecipients finds who gets twenty patches, beside get_maintainer.pl, which is called for each of them.
func BenchmarkRecipients(b *testing.B) {
	bin, root := program(b)
	source := need.Source(b)
	dir := b.TempDir()
	many(b, dir, "twenty", 20, source)
	b.Run("series", func(b *testing.B) {
		for b.Loop() {
			command(b, root, bin, "mail", "twenty", "--patches", dir, "--recipients", "-q")
		}
	})
	b.Run("get_maintainer", func(b *testing.B) {
		names, err := filepath.Glob(filepath.Join(dir, "twenty", "*.patch"))
		if err != nil || len(names) != 20 {
			b.Fatal(names, err)
		}
		for b.Loop() {
			for _, name := range names {
				command(b, source, "perl", "scripts/get_maintainer.pl", "--nogit", "--nogit-fallback", name)
			}
		}
	})
}

// small makes a git repository of the touched files, with the series in dir on a branch.
func small(b *testing.B, dir, source string, touched map[string][]string) string {
	b.Helper()
	repo := filepath.Join(dir, "repo")
	for name := range touched {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(repo, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(repo, name), data, 0o644)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "hundred", "*.patch"))
	if err != nil {
		b.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "base"}, {"config", "user.name", "Series Rig"}, {"config", "user.email", "series@seriesrig.invalid"},
		{"add", "."}, {"commit", "-q", "-m", "base"}, {"checkout", "-q", "-b", "work"}, append([]string{"am", "-q"}, names...),
	} {
		command(b, repo, "git", args...)
	}
	return repo
}

// many writes a series of n patches, each of which adds a line to three files of the source, below dir.
func many(b *testing.B, dir, id string, n int, source string) (files map[string][]string) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(source, "kernel", "sched", "*.c"))
	if err != nil {
		b.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(source, "mm", "*.c"))
	if err != nil {
		b.Fatal(err)
	}
	names = append(names, more...)
	if len(names) < 50 {
		b.Fatalf("%s has %d files below kernel/sched and mm, want at least 50", source, len(names))
	}
	out := filepath.Join(dir, id)
	if err := os.MkdirAll(out, 0o755); err != nil {
		b.Fatal(err)
	}
	files = map[string][]string{}
	for i := range n {
		var diff strings.Builder
		for k := range 3 {
			path, err := filepath.Rel(source, names[(i*3+k*17)%len(names)])
			if err != nil {
				b.Fatal(err)
			}
			if files[path] == nil {
				data, err := os.ReadFile(filepath.Join(source, path))
				if err != nil {
					b.Fatal(err)
				}
				files[path] = strings.SplitAfter(string(data), "\n")
			}
			diff.WriteString(addLine(files, path, 20+i%30, fmt.Sprintf("/* patch %d of %d */\n", i+1, n)))
		}
		text := fmt.Sprintf("From %040x Mon Sep 17 00:00:00 2001\nFrom: Series Rig <series@seriesrig.invalid>\n"+
			"Date: Sat, 21 Nov 2026 10:00:00 +0000\nSubject: [PATCH %d/%d] mm: add line number %d\n\nOne of many.\n---\n%s-- \n2.39.5\n",
			i+1, i+1, n, i+1, diff.String())
		if err := os.WriteFile(filepath.Join(out, fmt.Sprintf("%04d-patch.patch", i+1)), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	toml := fmt.Sprintf("id = %q\ntitle = \"bench\"\nrevision = 1\nprefix = \"PATCH\"\nbase = %q\narches = [\"amd64\"]\n"+
		"[mail]\nto = [\"list@example.org\"]\n[[changes]]\nrevision = 1\nseries = [\"first\"]\n", id, "debian:linux-source-6.12")
	cover := "# mm: add lines\n\nMany of them, each in a patch of its own, so that there is something to count.\n"
	for name, text := range map[string]string{"series.toml": toml, "cover.md": cover} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return files
}

// addLine inserts a line at index at of a file and returns the change as a diff.
func addLine(files map[string][]string, path string, at int, line string) string {
	old := files[path]
	at = min(at, len(old)-4)
	from := max(0, at-3)
	var hunk strings.Builder
	for _, l := range old[from:at] {
		hunk.WriteString(" " + l)
	}
	hunk.WriteString("+" + line)
	to := min(len(old), at+3)
	for _, l := range old[at:to] {
		hunk.WriteString(" " + l)
	}
	next := append([]string{}, old[:at]...)
	files[path] = append(append(next, line), old[at:]...)
	return fmt.Sprintf("diff --git a/%[1]s b/%[1]s\n--- a/%[1]s\n+++ b/%[1]s\n@@ -%[2]d,%[3]d +%[2]d,%[4]d @@\n%[5]s",
		path, from+1, to-from, to-from+1, hunk.String())
}
