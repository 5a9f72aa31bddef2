// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
)

// marked is the output of a test binary with -test.v=test2json.
func marked(lines ...string) string {
	return "\x16" + strings.Join(lines, "\n\x16") + "\n"
}

// Tests on the fake, whose command does what its environment says.
func TestTestOnFake(t *testing.T) {
	run := "=== RUN   TestA"
	pass := marked(run, "--- PASS: TestA (0.25s)", "PASS")
	for _, tt := range []struct {
		name   string
		env    []string
		kind   Kind
		reason string
		tests  map[string]string // action by name
	}{
		{"pass", []string{"OUT=" + pass}, Pass, "", map[string]string{"TestA": "pass"}},
		{"skip", []string{"OUT=" + marked(run, "--- SKIP: TestA (0.00s)", "PASS")}, Pass, "", map[string]string{"TestA": "skip"}},
		{"none to run", []string{"OUT=testing: warning: no tests to run\n\x16PASS\n"}, Pass, "", nil},
		{"fail", []string{"OUT=" + marked(run, "--- FAIL: TestA (0.00s)", "FAIL"), "STATUS=1"}, Fail, "TestA failed", map[string]string{"TestA": "fail"}},
		{"subtest fails", []string{"OUT=" + marked(run, "=== RUN   TestA/b", "--- FAIL: TestA (0.00s)", "    --- FAIL: TestA/b (0.00s)", "FAIL"), "STATUS=1"},
			Fail, "TestA/b failed", map[string]string{"TestA": "fail", "TestA/b": "fail"}},
		{"status without a word", []string{"STATUS=2"}, Fail, "exit status 2", nil},
		{"silent success", []string{"STATUS=0"}, Fail, "did not say PASS", nil},
		{"half success", []string{"OUT=" + marked(run)}, Fail, "exit status 0, but TestA did not end", map[string]string{"TestA": "fail"}},
		{"passed, and then not", []string{"OUT=" + pass, "STATUS=1"}, Fail, "exit status 1", map[string]string{"TestA": "pass"}},
		{"forged pass", []string{"OUT=" + marked(run) + "--- PASS: TestA (0.00s)\nPASS\n"}, Fail, "TestA did not end", map[string]string{"TestA": "fail"}},
		{"crash", []string{"OUT=" + marked(run) + "panic: oh\n", "STATUS=2"}, Fail, "exit status 2 during TestA", map[string]string{"TestA": "fail"}},
		{"guest dies", []string{"OUT=" + marked(run), "THEN=die"}, Fail, "without saying that it was done (during TestA)", map[string]string{"TestA": "fail"}},
		{"stuck", []string{"OUT=" + marked(run), "THEN=wait"}, Fail, "TestA timed out after 300ms", map[string]string{"TestA": "fail"}},
		{"stuck, dumps", []string{"OUT=" + marked(run), "THEN=wait", "DUMP=ends"}, Fail, "TestA timed out after 300ms", map[string]string{"TestA": "fail"}},
		{"flood", []string{"OUT=" + marked(run), "FLOOD=100"}, Fail, "flooded its output with more than 2 MiB", map[string]string{"TestA": "fail"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := test2json(); err != nil {
				need.Missing(t, err.Error())
			}
			leftovers(t)
			m := fakeMachine(t, "ok")
			m.Quiet = 5 * time.Second
			var out bytes.Buffer
			j := Job{Binary: m.Kernel, Env: tt.env, PerTest: 300 * time.Millisecond, Output: 2 << 20, Stdout: &out}
			res, err := Test(t.Context(), m, j)
			if err != nil {
				t.Fatal(err)
			}
			wantVerdict(t, res.Verdict, tt.kind, tt.reason)
			got := map[string]string{}
			for _, c := range res.Tests {
				got[c.Name] = c.Action
				if c.Action == "fail" && tt.name == "stuck" && !strings.Contains(c.Output, "goroutine 1 [running]") {
					t.Errorf("output %q, want the dump of goroutines", c.Output)
				}
			}
			if len(got)+len(tt.tests) > 0 {
				if diff := cmp.Diff(tt.tests, got); diff != "" {
					t.Errorf("tests (-want +got):\n%s", diff)
				}
			}
			if want := strings.TrimPrefix(tt.env[0], "OUT="); want != tt.env[0] && !strings.HasPrefix(out.String(), want) {
				t.Errorf("output %q, want %q", out.String(), want)
			}
			checkEvents(t, res.JSON)
		})
	}
}

// checkEvents reads a file of events: each line is one, in valid UTF-8.
func checkEvents(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(b) {
		t.Errorf("%s is not UTF-8", path)
	}
	for line := range strings.Lines(string(b)) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Action == "" {
			t.Errorf("event %q: %v", line, err)
		}
	}
}

// A reader of the output that never reads must not keep the guest from ending with its context.
func TestOutputBlocks(t *testing.T) {
	leftovers(t)
	m := fakeMachine(t, "ok")
	r, w := io.Pipe()
	defer r.Close() // lets the relay go
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	res, err := Exec(ctx, m, Job{Binary: m.Kernel, Env: []string{"FLOOD=1000"}, Stdout: w})
	var e *EndError
	if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Exec = %v, want the context's end", err)
	}
	// It was our fault, for a second longer than the limit of silence, and not the guest's.
	wantVerdict(t, res.Verdict, Rig, "interrupted: context deadline exceeded")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestExecOnFake(t *testing.T) {
	for _, tt := range []struct {
		how    string
		env    []string
		status int
		kind   Kind
		reason string
	}{
		{"ok", []string{"OUT=hello\n"}, 0, Pass, ""},
		{"ok", []string{"STATUS=3"}, 3, Fail, "exit status 3"},
		{"splat", []string{"STATUS=3"}, 3, Splat, "exit status 3"},
		{"ok", []string{"THEN=die"}, -1, Fail, "without saying that it was done"},
		{"panic", nil, -1, Panic, "Fatal exception"},
		{"refuse", nil, -1, Rig, "could not load kernel"},
	} {
		leftovers(t)
		m := fakeMachine(t, tt.how)
		m.Quiet = 5 * time.Second
		var out bytes.Buffer
		res, err := Exec(t.Context(), m, Job{Binary: m.Kernel, Env: tt.env, Stdout: &out})
		if res == nil || (err != nil) != (tt.kind == Rig) {
			t.Fatalf("%s %q: Exec = %v, %v", tt.how, tt.env, res, err)
		}
		wantVerdict(t, res.Verdict, tt.kind, tt.reason)
		if res.Status != tt.status {
			t.Errorf("%s %q: status %d, want %d", tt.how, tt.env, res.Status, tt.status)
		}
		if len(tt.env) > 0 && strings.HasPrefix(tt.env[0], "OUT=") && out.String() != "hello\n" {
			t.Errorf("output %q", out.String())
		}
	}
}

func TestJobRefuses(t *testing.T) {
	leftovers(t)
	ok := fakeMachine(t, "ok")
	for want, change := range map[string]func(*Machine, *Job){
		"no binary":              func(m *Machine, j *Job) { j.Binary = "" },
		"no such file":           func(m *Machine, j *Job) { j.Binary += ".none" },
		"nowhere to bring files": func(m *Machine, j *Job) { m.Dir, j.Collect = "", []string{"/tmp/x"} },
		"unknown architecture":   func(m *Machine, j *Job) { m.Arch = "vax" },
		"not a directory":        func(m *Machine, j *Job) { j.Folders = []string{ok.Kernel} },
	} {
		m, j := ok, Job{Binary: ok.Kernel}
		change(&m, &j)
		var e *EndError
		if _, err := Exec(t.Context(), m, j); err == nil || errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("Exec = %v, want an error with %q", err, want)
		}
	}
}

func TestRealTests(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		binary := testBinary(t, m.Arch, "gotests")
		for _, tt := range []struct {
			run    string
			kind   Kind
			reason string
		}{
			{"TestPass|TestSkip|TestBytes", Pass, ""},
			{"TestPass|TestFail", Fail, "TestFail/bad failed"},
			{"TestPass|TestStuck", Fail, "TestStuck timed out after 1s"},
			{"TestLong", Fail, "TestLong timed out after 1s"},
			{"TestPanic", Fail, "exit status 2 during TestPanic"},
			{"TestExit", Fail, "exit status 0, but TestExit did not end"},
			{"TestForge", Fail, "exit status 0, but TestForge did not end"},
			{"TestFlood", Fail, "flooded its output with more than 4 MiB"},
		} {
			t.Run(tt.run, func(t *testing.T) {
				m := m
				m.Dir = t.TempDir()
				res, err := Test(t.Context(), m, Job{Binary: binary, Args: []string{"-test.run=^(" + tt.run + ")$"},
					PerTest: time.Second, Output: 4 << 20})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%v; %+v", res.Verdict, res.Times)
				wantVerdict(t, res.Verdict, tt.kind, tt.reason)
				checkEvents(t, res.JSON)
				switch tt.run {
				case "TestPass|TestSkip|TestBytes":
					if res.Passed != 3 || res.Skipped != 1 || res.Failed != 0 || res.Status != 0 {
						t.Errorf("%d passed, %d skipped, %d failed, status %d; want 3, 1, 0, 0", res.Passed, res.Skipped, res.Failed, res.Status)
					}
				case "TestPass|TestStuck":
					if !strings.Contains(strings.Join(res.Verdict.Excerpt, "\n"), "gotests.TestStuck") {
						t.Errorf("no goroutine of TestStuck in the excerpt:\n%s", strings.Join(res.Verdict.Excerpt, "\n"))
					}
				}
			})
		}
		t.Run("files", func(t *testing.T) {
			m := m
			m.Dir = t.TempDir()
			res, err := Test(t.Context(), m, Job{Binary: binary, Dir: "/work/here",
				Args:    []string{"-test.run=TestFile", "-test.bench=.", "-test.benchtime=10x", "-test.cpuprofile=/work/here/output/cpu"},
				Env:     []string{"COLOUR=green"},
				Files:   []File{{Path: "/work/here/input", Data: []byte("from the host")}, {Path: "/work/here/output/keep"}},
				Collect: []string{"/work/here/output"},
			})
			if err != nil {
				t.Fatal(err)
			}
			wantVerdict(t, res.Verdict, Pass, "")
			got, err := os.ReadFile(filepath.Join(m.Dir, "files/work/here/output/result"))
			if err != nil || string(got) != "from the guest" {
				t.Errorf("result = %q, %v", got, err)
			}
			if fi, err := os.Stat(filepath.Join(m.Dir, "files/work/here/output/cpu")); err != nil || fi.Size() == 0 {
				t.Errorf("profile: %v, %v", fi, err)
			}
			if bench := strings.Join(res.Benchmarks, "\n"); !strings.Contains(bench, "BenchmarkAdd") || !strings.Contains(bench, "goarch: "+string(m.Arch)) {
				t.Errorf("benchmarks:\n%s", bench)
			}
		})
	})
}
