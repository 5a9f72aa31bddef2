// SPDX-License-Identifier: Apache-2.0

// Package need is the one place where a test may skip. A test says what it needs; where that is missing the test is
// skipped, and where SERIES_REQUIRE=1 it fails. SERIES_SKIPPED names a file to which a line is added for each test that was
// skipped or looked at less: its folder and its name. make test runs those again, with the kernels at hand and nothing
// allowed to skip, so that a green run has run everything, and once.
package need

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/run"
)

// Tool needs a program in PATH and returns where it is.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := run.Look(name)
	if err != nil {
		Missing(t, err.Error())
	}
	return path
}

// Root needs to be root, as a server that changes its user does.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Unfit(t, "this takes root")
	}
}

// Unfit skips a test for which the machine would have to be another one, or the user. Nothing that could be installed
// mends it, so a user's make test may skip it. The machines of CI (CI is set) are fit for all tests, and it fails there.
func Unfit(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("required in CI: %s", what)
	}
	t.Skip(what)
}

// File needs a file, such as one that only some kernels have; what says which. That it is missing is proved by its folder,
// which has to be there: a file system that is not mounted is a failure, and so is every other error.
func File(t testing.TB, path, what string) {
	t.Helper()
	_, err := os.Stat(path)
	if err == nil {
		return
	}
	if _, folder := os.Stat(filepath.Dir(path)); folder != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: %v", what, errors.Join(err, folder))
	}
	Missing(t, fmt.Sprintf("the kernel has no %s: %v", what, err))
}

// Kernel needs a built kernel of an architecture ("amd64", "ppc64", "ppc64le") and returns the path of its vmlinux, from
// the variable SERIES_KERNEL_AMD64 and the like.
func Kernel(t testing.TB, arch string) string {
	t.Helper()
	name := "SERIES_KERNEL_" + strings.ToUpper(arch)
	path := os.Getenv(name)
	if path == "" {
		Missing(t, name+" is not set; make test builds the kernels and sets it")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return path
}

// Source needs an unpacked kernel source and returns its folder, from the variable SERIES_KERNEL_SOURCE.
func Source(t testing.TB) string {
	t.Helper()
	path := os.Getenv("SERIES_KERNEL_SOURCE")
	if path == "" {
		Missing(t, "SERIES_KERNEL_SOURCE is not set; make test unpacks the source and sets it")
	}
	return path
}

// Long needs time, or a kernel of its own: SERIES_LONG=1 (make long sets it). Such tests are not in make test.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("SERIES_LONG") != "1" {
		t.Skip("takes long; make long runs it")
	}
}

// Everything tells whether everything is required: a test that can look at more or at less looks at all then.
func Everything(t testing.TB) bool {
	t.Helper()
	if os.Getenv("SERIES_REQUIRE") == "1" {
		return true
	}
	if path := os.Getenv("SERIES_SKIPPED"); path != "" {
		if err := note(path, t.Name()); err != nil {
			t.Fatalf("SERIES_SKIPPED: %v", err)
		}
	}
	return false
}

// Missing skips the test, or fails it where everything is required.
func Missing(t testing.TB, what string) {
	t.Helper()
	if Everything(t) {
		t.Fatalf("required: %s", what)
	}
	t.Skip(what)
}

// note adds a line to the file of what was skipped. Test processes write to it side by side.
func note(path, test string) error {
	dir, err := os.Getwd() // go test starts a test binary in its package's folder
	if err != nil {
		return err
	}
	test, _, _ = strings.Cut(test, "/")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s\n", dir, test)
	return errors.Join(err, f.Close())
}
