// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/kernel"
)

// twoPrograms is a module with two programs and a package that is none.
func twoPrograms(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const main = "package main\n\nimport (\"fmt\"; \"runtime\")\n\nfunc main() { fmt.Println(\"I am NAME on\", runtime.GOARCH) }\n"
	for name, text := range map[string]string{
		"go.mod":            "module example.org/two\n\ngo 1.24\n",
		"cmd/one/main.go":   strings.Replace(main, "NAME", "one", 1),
		"cmd/two/v3/x.go":   strings.Replace(main, "NAME", "two", 1),
		"cmd/lib/lib.go":    "package lib\n",
		"cmd/broken/bad.go": "package main\n\nfunc main() { return 1 }\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestGuestPrograms(t *testing.T) {
	dir, out := twoPrograms(t), t.TempDir()
	for _, c := range []struct {
		program, arch, want string
		class               elf.Class
		machine             elf.Machine
	}{
		{"./cmd/one", "amd64", "/bbin/one", elf.ELFCLASS64, elf.EM_X86_64},
		{"./cmd/one", "ppc64", "/bbin/one", elf.ELFCLASS64, elf.EM_PPC64},
		{"./cmd/two/...", "amd64", "/bbin/two", elf.ELFCLASS64, elf.EM_X86_64},
		{"example.org/two/cmd/one@386", "amd64", "/bbin/one-386", elf.ELFCLASS32, elf.EM_386},
	} {
		arch, err := kernel.FindArch(c.arch)
		if err != nil {
			t.Fatal(err)
		}
		files, err := parseProgram(c.program).build(t.Context(), arch, dir, out)
		if err != nil || len(files) != 1 || files[0].Path != c.want {
			t.Errorf("%s for %s: %+v, %v, want %s", c.program, c.arch, files, err, c.want)
			continue
		}
		f, err := elf.Open(files[0].From)
		if err != nil {
			t.Errorf("%s for %s: %v", c.program, c.arch, err)
			continue
		}
		if f.Class != c.class || f.Machine != c.machine {
			t.Errorf("%s for %s is %v %v, want %v %v", c.program, c.arch, f.Class, f.Machine, c.class, c.machine)
		}
		f.Close()
	}
	amd64, _ := kernel.FindArch("amd64")
	for bad, want := range map[string]string{
		"./cmd/broken": "does not build for amd64", "./cmd/lib": "no package main", "./cmd/none": "does not build for amd64", "./cmd/one@vax": "does not build for vax",
	} {
		var coded *coded
		if _, err := parseProgram(bad).build(t.Context(), amd64, dir, out); err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &coded) || coded.code != exitUsage {
			t.Errorf("%s: %v, want %s, and exit %d", bad, err, want, exitUsage)
		}
	}
	for p, want := range map[string]bool{"x": true, "x@amd64": true, "x@386": true, "x@ppc64": false} {
		if got := parseProgram(p).runsOn(amd64); got != want {
			t.Errorf("%s runs on amd64: %v, want %v", p, got, want)
		}
	}
}

// TestRealBootWith types into the shell of a guest what it was given: one program that is new, and one that has the name of
// one in the base image.
func TestRealBootWith(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	series := filepath.Join(t.TempDir(), "series")
	if err := os.Symlink(self, series); err != nil {
		t.Fatal(err)
	}
	dir := twoPrograms(t)
	if err := os.Rename(filepath.Join(dir, "cmd", "one"), filepath.Join(dir, "cmd", "ps")); err != nil {
		t.Fatal(err)
	}
	run := func(stdin string, args ...string) (string, error) {
		c := exec.Command(series, append([]string{"boot"}, args...)...)
		c.Dir, c.Stdin = dir, strings.NewReader(stdin)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, arch := range []string{"amd64", "ppc64"} {
		t.Run(arch, func(t *testing.T) {
			vmlinux := need.Kernel(t, arch)
			got, err := run("ps\ntwo\nexit\n", "--kernel", vmlinux, "--arch", arch, "--with", "./cmd/ps", "--with", "./cmd/two/v3")
			if err != nil || !strings.Contains(got, "I am one on "+arch) || !strings.Contains(got, "I am two on "+arch) {
				t.Errorf("%v\n%s", err, got)
			}
			for with, want := range map[string]string{
				"-x": "want a Go package", "./cmd/ps@s390x": "a guest of " + arch + " does not run programs for s390x", "./cmd/lib": "no package main",
			} {
				got, err := run("", "--kernel", vmlinux, "--arch", arch, "--with="+with)
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.Contains(got, want) {
					t.Errorf("--with %s: %v, want exit %d and %q\n%s", with, err, exitUsage, want, got)
				}
			}
		})
	}
}
