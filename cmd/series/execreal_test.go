// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
)

// TestRealExec is go test -exec 'series exec …' of a module that is not ours, the way its README has it: arguments,
// environment, the package's folder at its path, a folder to write in, exit status, coverage and profiles.
func TestRealExec(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":               "module example.org/colour\n\ngo 1.24\n",
		"shade/shade.go":       "package shade\n\n// Of is never wrong.\nfunc Of(c string) string {\n\tif c == \"\" {\n\t\treturn \"none\"\n\t}\n\treturn \"dark \" + c\n}\n",
		"shade/testdata/green": "dark green",
		"shade/shade_test.go": `package shade

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestOf(t *testing.T) {
	want, err := os.ReadFile("testdata/green")
	if err != nil {
		t.Fatal(err)
	}
	if got := Of(os.Getenv("COLOUR")); got != string(want) {
		t.Errorf("%q, want %q", got, want)
	}
	wd, _ := os.Getwd()
	fmt.Println("in", wd, "on", runtime.GOARCH)
	if err := os.WriteFile(filepath.Join(t.TempDir(), "x"), nil, 0o600); err != nil {
		t.Error(err)
	}
	if v, set := os.LookupEnv("HIDDEN"); set {
		t.Errorf("HIDDEN=%s, which nobody asked for", v)
	}
}

func TestWrong(t *testing.T) { t.Error("on purpose") }

func BenchmarkOf(b *testing.B) {
	for b.Loop() {
		Of("red")
	}
}
`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "series")); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "ppc64"} {
		t.Run(arch, func(t *testing.T) {
			kernel := need.Kernel(t, arch)
			out := t.TempDir()
			goTest := func(args ...string) (string, error) {
				c := exec.Command("go", append([]string{"test", "-count=1", "-exec",
					filepath.Join(bin, "series") + " exec --kernel " + kernel + " --arch " + arch + " --env COLOUR --env MOOD=good"}, args...)...)
				c.Dir = dir
				c.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0", "COLOUR=green", "HIDDEN=yes", "GOFLAGS=", "GOWORK=off")
				got, err := c.CombinedOutput()
				return string(got), err
			}
			got, err := goTest("-run=TestOf", "-v", "-bench=.", "-benchtime=50x", "-coverprofile="+filepath.Join(out, "cover"),
				"-cpuprofile="+filepath.Join(out, "cpu"), "-memprofile="+filepath.Join(out, "mem"), "-trace="+filepath.Join(out, "trace"),
				"-o="+filepath.Join(out, "shade.test"), "./shade")
			if err != nil {
				t.Fatalf("%v\n%s", err, got)
			}
			for _, want := range []string{"in " + filepath.Join(dir, "shade") + " on " + arch + "\n", "--- PASS: TestOf", "BenchmarkOf", "ok  \texample.org/colour/shade"} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			cover, err := os.ReadFile(filepath.Join(out, "cover"))
			if err != nil || !strings.Contains(string(cover), "example.org/colour/shade/shade.go:5.13,7.3 1 0") && !strings.Contains(string(cover), "shade.go:5.13,7.3 1 0") {
				t.Errorf("coverage: %v\n%s", err, cover)
			}
			for _, name := range []string{"cpu", "mem"} {
				if text, err := exec.Command("go", "tool", "pprof", "-raw", filepath.Join(out, name)).CombinedOutput(); err != nil {
					t.Errorf("%s profile: %v\n%s", name, err, text)
				}
			}
			if fi, err := os.Stat(filepath.Join(out, "trace")); err != nil || fi.Size() == 0 {
				t.Errorf("trace: %v, %v", fi, err)
			}

			got, err = goTest("-run=TestWrong", "./shade")
			if err == nil || !strings.Contains(got, "on purpose") || !strings.Contains(got, "FAIL\texample.org/colour/shade") {
				t.Errorf("a test that fails: %v\n%s", err, got)
			}
		})
	}
}
