// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/lint"
	"github.com/seriesrig/series/results"
)

// Records count for exactly the patches that they are of, the newest cell first; one of the rig's failures says nothing.
func TestRecordedRuns(t *testing.T) {
	s, err := patches.Load("testdata/house/patches/demo")
	if err != nil {
		t.Fatal(err)
	}
	s.Tests, s.Arches = []string{"./tests"}, []string{"amd64", "ppc64"}
	work := t.TempDir()
	a := &app{cli: &cli{Work: work, Patches: filepath.Join(work, "patches")}, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}
	dir := filepath.Join(work, "runs", s.ID)
	cell := func(arch string, patch int, v results.Verdict) results.Cell {
		failed := 1
		if v == results.Pass {
			failed = 0
		}
		return results.Cell{Arch: arch, Patch: patch, Config: "release", Build: &results.Build{ID: "x", Image: "vmlinux", Log: "log"}, Tests: &results.Tests{Verdict: v, Passed: 3, Failed: failed}}
	}
	save := func(day int, hash string, cells ...results.Cell) {
		t.Helper()
		at := time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC)
		r := &results.Run{Series: s.ID, Revision: 1, Verdict: results.Pass, Base: results.Base{Spec: "dir:linux", Version: "6.12", Hash: "sha256:" + strings.Repeat("0", 64)}, Started: at, Finished: at, Cells: cells}
		for i, p := range s.Patches {
			if hash == "" {
				r.Patches = append(r.Patches, results.PatchFile{N: i + 1, File: filepath.Base(p.File), Subject: p.Subject, Hash: fmt.Sprintf("sha256:%x", sha256.Sum256(p.Raw))})
			} else {
				r.Patches = append(r.Patches, results.PatchFile{N: i + 1, File: filepath.Base(p.File), Subject: p.Subject, Hash: "sha256:" + strings.Repeat(hash, 64)})
			}
		}
		if _, _, err := results.Save(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	outcome := func() (out []string) {
		t.Helper()
		runs, err := recordedRuns(a, s)
		if err != nil {
			t.Fatal(err)
		}
		if runs == nil {
			return nil
		}
		for n := 1; n <= 2; n++ {
			for _, r := range runs.Prefix(n) {
				out = append(out, fmt.Sprintf("%d %s done=%v pass=%v %s", n, r.Arch, r.Done, r.Pass, r.Detail))
			}
		}
		return out
	}
	save(1, "0", cell("amd64", 1, results.Pass))
	if got := outcome(); got != nil {
		t.Errorf("a record of other patches counts: %q", got)
	}
	save(2, "", cell("amd64", 1, results.Pass), cell("ppc64", 1, results.Fail), cell("amd64", 2, results.Panic))
	save(3, "", cell("amd64", 2, results.Pass), cell("amd64", 1, results.Rig))
	want := []string{"1 amd64 done=true pass=true ", "1 ppc64 done=true pass=false verdict fail, 1 of 4 tests failed",
		"2 amd64 done=true pass=true ", "2 ppc64 done=false pass=false "}
	if d := cmp.Diff(want, outcome()); d != "" {
		t.Errorf("recorded runs (-want +got):\n%s", d)
	}
	// A variant's cell says nothing of the release configuration, nor the other way round.
	s.Variants = []patches.Variant{{Name: "debug", Test: true}, {Name: "off"}}
	variant := func(config string, c results.Cell) results.Cell { c.Config = config; return c }
	off := cell("ppc64", 2, results.Pass)
	off.Tests = nil // such a variant is built only
	save(4, "", variant("debug", cell("amd64", 1, results.Panic)), variant("debug", cell("ppc64", 1, results.Pass)), variant("off", off),
		variant("gone", cell("amd64", 2, results.Panic)))
	want = []string{"1 amd64 done=true pass=true ", "1 amd64 with configuration debug done=true pass=false verdict panic, 1 of 4 tests failed",
		"1 ppc64 done=true pass=false verdict fail, 1 of 4 tests failed", "1 ppc64 with configuration debug done=true pass=true ",
		"2 amd64 done=true pass=true ", "2 ppc64 done=false pass=false ", "2 ppc64 with configuration off done=true pass=true "}
	if d := cmp.Diff(want, outcome()); d != "" {
		t.Errorf("recorded runs with variants (-want +got):\n%s", d)
	}
	// A word of a message is enough to void them.
	s.Patches[1].Raw = append(s.Patches[1].Raw, '\n')
	if got := outcome(); got != nil {
		t.Errorf("records count after an edit: %q", got)
	}
}

func TestCellRun(t *testing.T) {
	built := &results.Build{}
	for name, c := range map[string]struct {
		cell     results.Cell
		tests    bool
		ok, pass bool
	}{
		"not built":        {results.Cell{}, true, false, false},
		"build failed":     {results.Cell{Build: &results.Build{Errors: []string{"x.c:1: error"}}}, true, true, false},
		"proof failed":     {results.Cell{Build: built, Proofs: []results.Proof{{Name: "rodata"}}, Tests: &results.Tests{Verdict: results.Pass}}, true, true, false},
		"built, not run":   {results.Cell{Build: built}, true, false, false},
		"built, no tests":  {results.Cell{Build: built}, false, true, true},
		"hang":             {results.Cell{Build: built, Tests: &results.Tests{Verdict: results.Hang}}, true, true, false},
		"the rig's":        {results.Cell{Build: built, Tests: &results.Tests{Verdict: results.Rig}}, true, false, false},
		"passed":           {results.Cell{Build: built, Tests: &results.Tests{Verdict: results.Pass}}, true, true, true},
		"passed and proof": {results.Cell{Build: built, Proofs: []results.Proof{{Name: "rodata", Pass: true}}, Tests: &results.Tests{Verdict: results.Pass}}, true, true, true},
	} {
		if r, ok := cellRun(c.cell, "r.json", c.tests); ok != c.ok || ok && r.Pass != c.pass {
			t.Errorf("%s: cellRun = %+v, %v, want pass %v, %v", name, r, ok, c.pass, c.ok)
		}
	}
}

func TestCommitLookup(t *testing.T) {
	need.Tool(t, "git")
	repo := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		b, err := exec.Command("git", append([]string{"-C", repo, "-c", "user.name=Fred Former", "-c", "user.email=fred@example.org"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, b)
		}
		return strings.TrimSpace(string(b))
	}
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", `audit: say "lost"`)
	first := git("rev-parse", "HEAD")
	git("branch", "side")
	git("commit", "-q", "--allow-empty", "-m", "audit: two")
	stray := git("rev-parse", "HEAD")
	l := &commitLookup{ctx: context.Background(), repo: repo, rev: "side"}
	for range 2 { // the second time from memory
		for id, want := range map[string]*lint.Commit{
			first[:12]: {ID: first, Subject: `audit: say "lost"`, Author: lint.Person{Name: "Fred Former", Email: "fred@example.org"}, Ancestor: true},
			stray:      {ID: stray, Subject: "audit: two", Author: lint.Person{Name: "Fred Former", Email: "fred@example.org"}},
		} {
			got, err := l.Commit(id)
			if d := cmp.Diff(want, got); err != nil || d != "" {
				t.Errorf("Commit(%s): %v (-want +got):\n%s", id, err, d)
			}
		}
		if _, err := l.Commit("0123456789ab"); !errors.Is(err, lint.ErrNoCommit) {
			t.Errorf("Commit of none = %v, want ErrNoCommit", err)
		}
	}
	none := &commitLookup{ctx: context.Background(), repo: t.TempDir(), rev: "HEAD"}
	if _, err := none.Commit(first); err == nil || errors.Is(err, lint.ErrNoCommit) {
		t.Errorf("Commit without a repository = %v, want an error that is not about the commit", err)
	}
}
