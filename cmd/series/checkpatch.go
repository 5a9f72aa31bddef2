// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches/lint"
)

// checkpatchLimit is how long one process of checkpatch may take. A patch takes it a second or so; some regular
// expressions of it take very long for lines that were made to that end.
const checkpatchLimit = 5 * time.Minute

// A checkpatchJob is a patch for checkpatch, in a file of our own naming.
type checkpatchJob struct {
	message *lint.Message
	plain   *lint.Plain
	name    string
	found   []lint.Finding
}

// checkpatch runs the base's checkpatch.pl on the patches, one process a core, and merges what it finds into rep.
func (c *lintCmd) checkpatch(ctx context.Context, a *app, base string, ms []*lint.Message, rep *lint.Report) error {
	script := filepath.Join(base, "scripts", "checkpatch.pl")
	asked := c.Checkpatch != nil
	if _, err := os.Stat(script); err != nil {
		if asked {
			return usage("--checkpatch: the base has no scripts/checkpatch.pl")
		}
		a.log.Info("the base has no scripts/checkpatch.pl")
		return nil
	}
	if _, err := run.Look("perl"); err != nil {
		if asked {
			return err
		}
		a.log.Warn("checkpatch.pl is not run", "error", err)
		return nil
	}
	dir, err := checkpatchDir(base)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var jobs []*checkpatchJob
	for _, m := range ms {
		if m.Kind != lint.Patch || len(m.Diff) == 0 {
			continue
		}
		plain, err := m.Plain()
		var bad *lint.ReadError
		if errors.As(err, &bad) {
			rep.Findings = append(rep.Findings, lint.Finding{Rule: "checkpatch:UNSAFE", File: m.File, Line: bad.Line, Level: lint.Error, Message: "checkpatch.pl was not run: " + bad.Msg})
			continue
		}
		j := &checkpatchJob{message: m, plain: plain, name: fmt.Sprintf("series-lint-%05d.patch", len(jobs)+1)}
		if err := os.WriteFile(filepath.Join(dir, j.name), plain.Text, 0o600); err != nil {
			return err
		}
		jobs = append(jobs, j)
	}
	if len(jobs) == 0 {
		return nil
	}
	end := newProgress(a.stderr, a.cli.Quiet).stage("checkpatch", 1).begin("checkpatch.pl")
	n := min(runtime.GOMAXPROCS(0), len(jobs))
	g, gctx := errgroup.WithContext(ctx)
	for i := range n {
		var mine []*checkpatchJob
		for k := i; k < len(jobs); k += n {
			mine = append(mine, jobs[k])
		}
		g.Go(func() error { return runCheckpatch(gctx, dir, script, mine) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	end("%d patches", len(jobs))
	for _, j := range jobs {
		last := 0
		for _, m := range ms {
			if m.File == j.message.File && m.Line > j.message.Line && (last == 0 || m.Line < last) {
				last = m.Line
			}
		}
		rep.Merge(j.message, last, j.found)
	}
	return nil
}

// checkpatchDir makes a folder in which checkpatch finds the kernel: links to what is at the top of the source. It is not
// run in the source itself, into which it writes a cache; and without the source's .git it asks git for nothing.
func checkpatchDir(base string) (string, error) {
	dir, err := os.MkdirTemp("", "series-lint-")
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(base)
	for _, e := range entries {
		if err == nil && e.Name() != ".git" && e.Name() != ".checkpatch.conf" {
			err = os.Symlink(filepath.Join(base, e.Name()), filepath.Join(dir, e.Name()))
		}
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

// runCheckpatch runs one process. Its exit status says whether there are findings, so it is believed only where there is
// one of that meaning.
func runCheckpatch(ctx context.Context, dir, script string, jobs []*checkpatchJob) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(jobs))*checkpatchLimit)
	defer cancel()
	args := []string{script, "--terse", "--show-types", "--no-summary", "--color=never", "--patch", "--"}
	for _, j := range jobs {
		args = append(args, j.name)
	}
	var stdout bytes.Buffer
	// HOME is the folder, too, so that nobody's .checkpatch.conf changes what is found.
	err := run.Cmd{Name: "perl", Args: args, Dir: dir, Stdout: &stdout, Env: run.CleanEnv("HOME="+dir, "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))}.Run(ctx)
	var exit *run.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Code != 1) {
		return fmt.Errorf("checkpatch.pl: %w", err)
	}
	found := 0
	for _, j := range jobs {
		j.found = j.plain.Checkpatch(j.name, stdout.Bytes())
		found += len(j.found)
	}
	if exit != nil && found == 0 {
		return fmt.Errorf("checkpatch.pl: exit status 1 without a finding: %.300q", stdout.String())
	}
	return nil
}
