// SPDX-License-Identifier: Apache-2.0

package need

import (
	"os"
	"path/filepath"
	"testing"
)

// A recorder is a test that only notes how it is to end.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper() {}

func (r *recorder) Skip(...any) { r.end("skip") }

func (r *recorder) Fatalf(string, ...any) { r.end("fail") }

func (r *recorder) end(how string) {
	r.ended = how
	panic(r)
}

// ending runs f and returns how it ended its test.
func ending(t testing.TB, f func(testing.TB)) string {
	r := &recorder{TB: t, ended: "go on"}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				panic(p)
			}
		}()
		f(r)
	}()
	return r.ended
}

// Only what is proved to be missing is a skip, and where it is required it is none.
func TestMissingIsProved(t *testing.T) {
	dir := t.TempDir()
	here := filepath.Join(dir, "here")
	if err := os.WriteFile(here, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SERIES_SKIPPED", "")
	for _, tt := range []struct{ path, require, want string }{
		{here, "", "go on"},
		{here, "1", "go on"},
		{filepath.Join(dir, "missing"), "", "skip"},
		{filepath.Join(dir, "missing"), "1", "fail"},
		{filepath.Join(dir, "unmounted", "missing"), "", "fail"},
		{filepath.Join(here, "below"), "", "fail"},
	} {
		t.Setenv("SERIES_REQUIRE", tt.require)
		if got := ending(t, func(t testing.TB) { File(t, tt.path, "file") }); got != tt.want {
			t.Errorf("%s, required %q: %s, want %s", tt.path, tt.require, got, tt.want)
		}
	}
	for ci, want := range map[string]string{"": "skip", "true": "fail"} {
		t.Setenv("CI", ci)
		if got := ending(t, func(t testing.TB) { Unfit(t, "another machine") }); got != want {
			t.Errorf("an unfit machine, CI=%q: %s, want %s", ci, got, want)
		}
	}
}

// What is skipped is written down, by the name of the test that go test -run takes.
func TestSkippedIsNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skipped")
	t.Setenv("SERIES_REQUIRE", "")
	t.Setenv("SERIES_SKIPPED", path)
	t.Setenv("SERIES_KERNEL_AMD64", "")
	t.Run("amd64", func(t *testing.T) { Kernel(t, "amd64") })
	t.Run("all", func(t *testing.T) {
		if Everything(t) {
			t.Error("everything is required, and nobody asked for it")
		}
	})
	t.Run("nothing", func(*testing.T) {})
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	line := dir + " TestSkippedIsNoted\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != line+line {
		t.Errorf("noted %q, %v, want %q twice", got, err, line)
	}
	t.Setenv("SERIES_REQUIRE", "1")
	t.Run("required", func(t *testing.T) {
		if !Everything(t) {
			t.Error("everything was asked for")
		}
	})
	if got, err := os.ReadFile(path); err != nil || string(got) != line+line {
		t.Errorf("noted %q, %v where everything is required, want nothing more", got, err)
	}
}
