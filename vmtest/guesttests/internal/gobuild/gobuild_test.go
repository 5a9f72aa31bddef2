// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

package gobuild

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// standIn makes a toolchain whose compiler writes a shell script that prints its argument.
func standIn(t *testing.T, p plan) string {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plan.json":  string(b),
		"bin/cc":     "#!/bin/sh\ntest -e src/it || exit 9\nprintf '#!/bin/sh\\necho %s >&2\\n' \"$2$MORE\" >$1 && chmod +x $1\n",
		"bin/broken": "#!/bin/sh\necho no such thing\nexit 3\n",
		"src/it":     "", "pkg/it": "", "importcfg": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBuild(t *testing.T) {
	good := plan{Folders: []string{"out/sub"}, Env: []string{"MORE=!"}, Program: "out/sub/p", Prints: "well!\n",
		Steps: [][]string{{"bin/cc", "out/sub/other", "no"}, {"bin/cc", "out/sub/p", "well"}}}
	work := filepath.Join(t.TempDir(), "work")
	for range 2 { // the second time, in the folder of the first
		tc, err := Open(standIn(t, good))
		if err != nil {
			t.Fatal(err)
		}
		times, err := tc.Build(work)
		if err != nil || times.Elapsed <= 0 || times.User+times.System <= 0 || times.CPU() <= 0 || times.Last != times.First+1 {
			t.Errorf("build: %+v, %v", times, err)
		}
	}
	for name, c := range map[string]struct {
		change func(*plan)
		want   string
	}{
		"step fails":     {func(p *plan) { p.Steps = [][]string{{"bin/broken"}} }, "exit status 3\nno such thing"},
		"no such tool":   {func(p *plan) { p.Steps = [][]string{{"bin/ld"}} }, "no such file"},
		"other program":  {func(p *plan) { p.Steps = p.Steps[:1]; p.Program = "out/sub/other" }, `prints "no!\n"`},
		"builds nothing": {func(p *plan) { p.Steps = p.Steps[:1] }, "no such file"},
	} {
		bad := good
		c.change(&bad)
		tc, err := Open(standIn(t, bad))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tc.Build(work); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "series.toml has to name this package") {
		t.Errorf("no toolchain: %v, want an error that says how to have one", err)
	}
	if _, err := Open(standIn(t, plan{Steps: [][]string{{"x"}}, Program: "p"})); err == nil {
		t.Error("a plan whose program prints nothing is no error: nothing would be checked")
	}
}

func TestSettle(t *testing.T) {
	t.Setenv("SERIES_MODE", "icount")
	build := func(times ...time.Duration) func() (Times, error) {
		i := 0
		return func() (Times, error) {
			i++
			return Times{Elapsed: times[min(i, len(times))-1], First: 2 * i}, nil
		}
	}
	last, skipped, err := settle(build(2000, 1100, 1000, 996))
	if err != nil || skipped != 3 || last.Elapsed != 996 || last.First != 8 {
		t.Errorf("settle: %+v, %d left out, %v, want the fourth", last, skipped, err)
	}
	growing := make([]time.Duration, 100)
	for i := range growing {
		growing[i] = time.Duration(100 + 10*i)
	}
	if last, skipped, err := settle(build(growing...)); err == nil {
		t.Errorf("builds that take longer and longer: %+v, %d left out, want an error", last, skipped)
	}
	if _, _, err := settle(func() (Times, error) { return Times{}, fmt.Errorf("it breaks") }); err == nil || err.Error() != "it breaks" {
		t.Errorf("a build that breaks: %v", err)
	}
}
