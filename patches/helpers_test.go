// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain gives git a configuration in which nothing is synced to disk: it is all thrown away. HOME is what the code
// under test lets through to git.
func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "patches-home-")
	if err == nil {
		err = os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[core]\n\tfsync = none\n"), 0o644)
	}
	if err == nil {
		err = os.Setenv("HOME", home)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}

// mbox wraps a diff as git format-patch would.
func mbox(subject, diff string) string {
	return "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\n" +
		"From: Series Rig <series@seriesrig.invalid>\n" +
		"Date: Sat, 21 Nov 2026 10:00:00 +0000\n" +
		"Subject: [PATCH] " + subject + "\n" +
		"\n" +
		"Why it is so.\n" +
		"---\n" +
		" a stat | 1 +\n" +
		"\n" + diff + "-- \n2.39.5\n\n"
}

func parse(t testing.TB, text string) *Patch {
	t.Helper()
	p, err := ParsePatch("x.patch", []byte(text))
	if err != nil {
		t.Fatalf("ParsePatch: %v\n%s", err, text)
	}
	return p
}

// runGit runs git in a folder, away from the configuration of whoever runs the tests, and fails the test if git does.
func runGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, "", args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(out, "\n")
}

func tryGit(dir, stdin string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "TZ=UTC",
		"GIT_CEILING_DIRECTORIES=" + filepath.Dir(dir),
		"GIT_AUTHOR_NAME=A U Thor", "GIT_AUTHOR_EMAIL=author@example.org", "GIT_AUTHOR_DATE=1700000000 +0100",
		"GIT_COMMITTER_NAME=C O Mitter", "GIT_COMMITTER_EMAIL=committer@example.org", "GIT_COMMITTER_DATE=1700000000 +0000"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// writeTree writes files below dir, anew.
func writeTree(t testing.TB, dir string, files map[string]*File) {
	t.Helper()
	for name, f := range files {
		if f == nil {
			continue
		}
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if f.Mode&fs.ModeSymlink != 0 {
			if err := os.Symlink(string(f.Data), p); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(p, f.Data, f.Mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, f.Mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
}

// readTree reads all files below dir, but for .git.
func readTree(t testing.TB, dir string) map[string]*File {
	t.Helper()
	d, err := Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out := map[string]*File{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if e != nil && e.Name() == ".git" {
				return fs.SkipDir
			}
			return err
		}
		f, err := d.ReadFile(name)
		out[name] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// gitApply applies patches with git apply; ok is false when git refuses one of them.
func gitApply(t testing.TB, base map[string]*File, ps ...*Patch) (out map[string]*File, ok bool, said string) {
	t.Helper()
	dir := t.TempDir()
	writeTree(t, dir, base)
	for _, p := range ps {
		said, err := tryGit(dir, string(p.Raw), "apply", "--whitespace=nowarn", "-v")
		if err != nil {
			return nil, false, said
		}
	}
	return readTree(t, dir), true, said
}

// after is the tree that a result makes of a base.
func after(base map[string]*File, r *Result, n int) map[string]*File {
	out := map[string]*File{}
	for name, f := range base {
		out[name] = f
	}
	for name, f := range r.Files(n) {
		if out[name] = f; f == nil {
			delete(out, name)
		}
	}
	return out
}

// treeText is a tree as text, for comparing and for golden files.
func treeText(files map[string]*File) string {
	var b strings.Builder
	for _, name := range sortedKeys(files) {
		f := files[name]
		if f == nil {
			fmt.Fprintf(&b, "== %s gone\n", name)
			continue
		}
		mode := fmt.Sprintf("%o", f.Mode&0o777)
		if f.Mode&fs.ModeSymlink != 0 {
			mode = "link"
		}
		fmt.Fprintf(&b, "== %s %s\n%s", name, mode, f.Data)
		if len(f.Data) > 0 && f.Data[len(f.Data)-1] != '\n' {
			b.WriteString("\n\\ no newline\n")
		}
	}
	return b.String()
}

func text1(s string) *File { return &File{Data: []byte(s), Mode: 0o644} }
