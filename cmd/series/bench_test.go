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
			args := []string{"test", "kauditd-wakeup", "--arch", arch, "--patch", "0", "--package", "./" + trivial, "--again", "-q"}
			command(b, root, bin, args...)
			for b.Loop() {
				command(b, root, bin, args...)
			}
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
	hundred(b, dir, source)
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

// hundred writes a series of 100 patches, each of which changes a line in three files of the source, below dir.
func hundred(b *testing.B, dir, source string) {
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
	out := filepath.Join(dir, "hundred")
	if err := os.MkdirAll(out, 0o755); err != nil {
		b.Fatal(err)
	}
	files := map[string][]string{}
	for n := range 100 {
		var diff strings.Builder
		for k := range 3 {
			path, err := filepath.Rel(source, names[(n*3+k*17)%len(names)])
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
			diff.WriteString(addLine(files, path, 20+n%30, fmt.Sprintf("/* patch %d of a hundred */\n", n+1)))
		}
		text := fmt.Sprintf("From %040x Mon Sep 17 00:00:00 2001\nFrom: Series Rig <series@seriesrig.invalid>\n"+
			"Date: Sat, 21 Nov 2026 10:00:00 +0000\nSubject: [PATCH %03d/100] bench: patch %d\n\nOne of a hundred.\n---\n%s-- \n2.39.5\n",
			n+1, n+1, n+1, diff.String())
		if err := os.WriteFile(filepath.Join(out, fmt.Sprintf("%04d-patch.patch", n+1)), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	toml := fmt.Sprintf("id = \"hundred\"\ntitle = \"bench\"\nrevision = 1\nprefix = \"PATCH\"\nbase = %q\narches = [\"amd64\"]\n"+
		"[mail]\nto = [\"list@example.org\"]\n[[changes]]\nrevision = 1\nseries = [\"first\"]\n", "debian:linux-source-6.12")
	if err := os.WriteFile(filepath.Join(out, "series.toml"), []byte(toml), 0o644); err != nil {
		b.Fatal(err)
	}
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
