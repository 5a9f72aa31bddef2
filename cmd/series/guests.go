// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
	"github.com/seriesrig/series/vmtest/initramfs"
)

// A testBinary is a Go test binary for guests of one architecture.
type testBinary struct {
	pkg  string // as series.toml names it
	path string
	hash string // of its content, and of what files brings
	// files are put into its guests, beside it.
	files []vmtest.File
}

// testBinary builds a package's test binary, once a session. The file stays where it is from run to run, so that the go command finds
// out by itself that there is nothing to do.
func (s *session) testBinary(ctx context.Context, arch kernel.Arch, pkg string) (testBinary, error) {
	s.building.Lock()
	defer s.building.Unlock()
	known := arch.Name + " " + pkg
	if b, ok := s.binaries[known]; ok {
		return b, nil
	}
	b, err := s.buildTestBinary(ctx, arch, pkg)
	if err == nil && slices.Contains(s.series.Guest.Toolchain, pkg) {
		err = s.addToolchain(ctx, arch, &b)
	}
	if err == nil {
		err = s.addPrograms(ctx, arch, &b)
	}
	if err == nil {
		if s.binaries == nil {
			s.binaries = map[string]testBinary{}
		}
		s.binaries[known] = b
	}
	return b, err
}

func (s *session) buildTestBinary(ctx context.Context, arch kernel.Arch, pkg string) (testBinary, error) {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, pkg), "-")
	path := filepath.Join(s.store.Dir, "testbin", s.series.ID, arch.Name, name+".test")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return testBinary{}, err
	}
	root, err := filepath.Abs(s.app.root())
	if err != nil {
		return testBinary{}, err
	}
	cmd := run.Cmd{
		Name: "go",
		Args: []string{"test", "-c", "-tags", "guest", "-trimpath", "-vet=off", "-ldflags=-s -w", "-o", path, pkg},
		Dir:  root,
		Env:  run.CleanEnv("GOOS=linux", "GOARCH="+arch.GoArch, "CGO_ENABLED=0", "GOWORK=off"),
	}
	if err := cmd.Run(ctx); err != nil {
		var exit *run.ExitError
		if errors.As(err, &exit) {
			return testBinary{}, &coded{exitUsage, fmt.Errorf("test package %s (in %s) does not build:\n%s", pkg, root, strings.TrimSpace(exit.Stderr))}
		}
		return testBinary{}, err
	}
	hash, err := hashFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return testBinary{}, usage("test package %s (in %s) has no test files with the build tag guest", pkg, root)
	}
	return testBinary{pkg: pkg, path: path, hash: hash}, err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// machine is the guest that a cell's tests run in.
func (s *session) machine(c *cell) vmtest.Machine {
	return vmtest.Machine{
		Arch:    vmtest.Arch(c.arch.Name),
		Kernel:  c.build.Image,
		CPUs:    s.series.Guest.CPUs,
		Memory:  s.series.Guest.Memory,
		Cmdline: s.series.Guest.Cmdline,
		Cache:   s.store.Cache,
		Log:     s.app.log,

		MultiThread: s.series.Guest.MultiThread,
	}
}

// A guestRun is a test binary's run in a guest, now or in an earlier run.
type guestRun struct {
	*vmtest.TestResult
	QEMU   results.QEMU
	Cached bool
}

// runTests is a way of running a test binary.
type runTests struct {
	name   string
	kernel string // id of the build whose outcome it is, "" for the cell's own
	run    func(context.Context, vmtest.Machine, vmtest.Job) (*vmtest.TestResult, error)
}

var (
	inOneGuest = runTests{name: "one", run: vmtest.Test}      // all that the binary has, in a guest that is booted for it
	inGuests   = runTests{name: "each", run: vmtest.TestEach} // each test in a guest of its own, restored from a snapshot
)

// runGuest runs a test binary in a guest of its own, unless the outcome is known from an earlier run: same kernel, same
// binary and arguments, same initramfs, same QEMU and command line. What depends on how busy the host was (hang, noboot,
// rig, and what a second guest did not confirm) is never kept.
func (s *session) runGuest(ctx context.Context, c *cell, m vmtest.Machine, job vmtest.Job, bin testBinary, how runTests, again bool) (*guestRun, error) {
	args, err := m.Args()
	if err != nil {
		return nil, usage("%v", err)
	}
	id, err := s.guestID(ctx, c.arch)
	if err != nil {
		return nil, err
	}
	for i, arg := range args {
		if arg == m.Kernel {
			args[i] = "vmlinux"
		}
	}
	jobID := fmt.Sprintf("%q %q %q %v %v", job.Args, job.Env, job.Dir, job.PerTest, m.Limit)
	key := cache.KeyOf("guest run 1", how.name, cmp.Or(how.kernel, c.build.ID), bin.hash, id.initramfs, id.version, strings.Join(args, "\x00"), jobID+countKey(m))
	if again && !s.journal.ran(key) { // nor twice, where a run goes on
		if err := s.store.Cache.Remove("guestrun", key); err != nil {
			return nil, err
		}
	}
	var fresh *guestRun
	errNotKept := errors.New("not kept")
	dir, cached, err := s.store.Cache.Fill(ctx, "guestrun", key, func(ctx context.Context, dir string) error {
		if s.onlyKnown {
			return errNotKnown
		}
		m.Dir = filepath.Join(s.store.Dir, "runs", s.series.ID, "guests", fmt.Sprintf("%s-%d-%.12s", c.arch.Name, c.patch, key))
		if err := os.RemoveAll(m.Dir); err != nil {
			return err
		}
		job.Binary, job.Files = bin.path, slices.Clone(bin.files)
		if s.series.Guest.Modules { // they are part of the build's id
			modules, err := filesBelow(filepath.Join(filepath.Dir(c.build.Image), "modules"), "/lib/modules")
			if err != nil {
				return err
			}
			job.Files = append(job.Files, modules...)
		}
		res, err := how.run(ctx, m, job)
		if err != nil {
			return err
		}
		if err := reduceCounts(m, res); err != nil {
			return err
		}
		fresh = &guestRun{TestResult: res, QEMU: results.QEMU{
			Version: id.version,
			Command: append([]string{id.qemu}, args...),
			Accel:   "tcg",
			Machine: strings.SplitN(flagValue(args, "-machine"), ",", 2)[0],
			CPUs:    max(1, m.CPUs),
			Memory:  max(m.Memory, 0),
		}}
		if k := res.Verdict.Kind; res.Unconfirmed || k == vmtest.Hang || k == vmtest.NoBoot || k == vmtest.Rig {
			return errNotKept
		}
		return keepRun(dir, m.Dir, fresh)
	})
	s.worked(c, !cached, errors.Is(err, errNotKept))
	if errors.Is(err, errNotKept) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	kept, err := keptRun(dir)
	if err != nil {
		return nil, err
	}
	kept.Cached = cached
	return kept, s.journal.guest(c, key, string(kept.Verdict.Kind), cached)
}

// worked notes that a guest was booted for a cell, and whether its outcome could be kept. A cell may have several at a time.
func (s *session) worked(c *cell, booted, unkept bool) {
	s.noting.Lock()
	defer s.noting.Unlock()
	c.worked, c.unkept = c.worked || booted, c.unkept || unkept
}

// filesBelow are the files below a folder of the host for a guest: below to as they are below dir, and none where there is no
// such folder.
func filesBelow(dir, to string) ([]vmtest.File, error) {
	var files []vmtest.File
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if p == dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		files = append(files, vmtest.File{Path: path.Join(to, filepath.ToSlash(rel)), From: p})
		return err
	})
	return files, err
}

func flagValue(args []string, flag string) string {
	for i, a := range args[:max(0, len(args)-1)] {
		if a == flag {
			return args[i+1]
		}
	}
	return ""
}

// keepRun copies a run's logs and its outcome to dir, with paths relative to it.
func keepRun(dir, logs string, r *guestRun) error {
	if err := os.CopyFS(filepath.Join(dir, "logs"), os.DirFS(logs)); err != nil {
		return err
	}
	rel := *r.TestResult
	for _, p := range []*string{&rel.JSON, &rel.Log, &rel.Dir, &rel.Verdict.Where.Log} {
		if *p == "" {
			continue
		}
		var err error
		if *p, err = filepath.Rel(logs, *p); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(guestRun{TestResult: &rel, QEMU: r.QEMU}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "run.json"), b, 0o644)
}

func keptRun(dir string) (*guestRun, error) {
	b, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err != nil {
		return nil, err
	}
	var r guestRun
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	for _, p := range []*string{&r.JSON, &r.Log, &r.Dir, &r.Verdict.Where.Log} {
		if *p != "" {
			*p = filepath.Join(dir, "logs", *p)
		}
	}
	return &r, nil
}

// A guestID is what a guest is made of beside its kernel.
type guestID struct {
	initramfs string
	qemu      string // program
	version   string // of QEMU
}

func (s *session) guestID(ctx context.Context, arch kernel.Arch) (guestID, error) {
	s.identifying.Lock()
	defer s.identifying.Unlock()
	if id, ok := s.guestIDs[arch.Name]; ok {
		return id, nil
	}
	image, err := initramfs.Image(ctx, s.store.Cache, arch.GoArch)
	if err != nil {
		return guestID{}, err
	}
	qemu, version, err := vmtest.QEMU(ctx, vmtest.Arch(arch.Name))
	if err != nil {
		return guestID{}, err
	}
	// The image is a cache entry, so its folder's name is the hash of what it was made from.
	id := guestID{initramfs: filepath.Base(filepath.Dir(image)), qemu: qemu, version: version}
	if s.guestIDs == nil {
		s.guestIDs = map[string]guestID{}
	}
	s.guestIDs[arch.Name] = id
	return id, nil
}

// test runs the series' tests on each cell and returns the number of cells with a finding. A cell that the rig failed is
// an error: nothing was learned about it.
func (s *session) test(ctx context.Context, cells []*cell, opts guestOptions) (findings int, err error) {
	if len(s.series.Tests) == 0 {
		return 0, nil
	}
	cells = slices.DeleteFunc(slices.Clone(cells), func(c *cell) bool { return !c.tested() })
	st := s.show.stage("test", len(cells))
	var bad atomic.Int32
	built := slices.DeleteFunc(alternate(cells), func(c *cell) bool { return c.build == nil })
	err = sideBySide(ctx, built, runtime.NumCPU(), func(c *cell) int { return s.hostCPUs(c, opts.fresh) }, func(ctx context.Context, c *cell) error {
		end := st.begin(c.name)
		if err := s.testCell(ctx, c, opts); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.rec.Tests.Verdict != results.Pass {
			bad.Add(1)
		}
		end("%s", testSummary(c.rec.Tests))
		return s.journal.finished("test", c, !c.worked)
	})
	findings = int(bad.Load())
	if err != nil {
		st.abort()
		return findings, err
	}
	st.end("%d kernels, %d with findings", len(cells), findings)
	return findings, nil
}

// fresh is what was asked for, or what the series says.
func (s *session) fresh(asked *bool) bool {
	if asked != nil {
		return *asked
	}
	return s.series.Guest.Fresh
}

// hostCPUs is how many of the host's processors a cell's guests keep busy. A cell whose tests have a guest each fills the
// host by itself.
func (s *session) hostCPUs(c *cell, fresh bool) int {
	if !fresh {
		return runtime.NumCPU()
	}
	return s.machine(c).HostCPUs()
}

// sideBySide works on cells in their order, on as many at a time as there is room for. One that has to wait for room lets
// those pass that need less; one that needs more than there is has all of it.
func sideBySide(ctx context.Context, cells []*cell, room int, needs func(*cell) int, work func(context.Context, *cell) error) error {
	g, run := errgroup.WithContext(ctx)
	waiting, free, ended := slices.Clone(cells), room, make(chan int, len(cells))
	for len(waiting) > 0 && run.Err() == nil {
		i := slices.IndexFunc(waiting, func(c *cell) bool { return min(room, needs(c)) <= free })
		if i < 0 {
			free += <-ended
			continue
		}
		c, n := waiting[i], min(room, needs(waiting[i]))
		waiting, free = slices.Delete(waiting, i, i+1), free-n
		g.Go(func() error {
			defer func() { ended <- n }()
			return work(run, c)
		})
	}
	if err := g.Wait(); err != nil || len(waiting) == 0 {
		return err
	}
	return context.Cause(ctx)
}

// alternate orders cells by patch, so that those of different architectures are side by side and what a patch broke is
// seen early.
func alternate(cells []*cell) []*cell {
	cells = slices.Clone(cells)
	slices.SortStableFunc(cells, func(a, b *cell) int { return a.patch - b.patch })
	return cells
}

func testSummary(t *results.Tests) string {
	text := fmt.Sprintf("%s, %d passed", t.Verdict, t.Passed)
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d failed", t.Failed)
	}
	if t.Expected > 0 {
		text += fmt.Sprintf(", %d failed as expected", t.Expected)
	}
	if t.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", t.Skipped)
	}
	if t.SameAs != "" {
		text += fmt.Sprintf("; not booted, the kernel is that of %s", t.SameAs)
	}
	return text
}

// guestOptions are what the verbs that boot guests have in common.
type guestOptions struct {
	run     string        // -test.run, "" for all
	again   bool          // run even what is known
	fresh   bool          // boot a guest for all tests of a binary, instead of restoring one for each
	perTest time.Duration // 0: vmtest's
	require bool          // a test that skips itself where series.toml does not say that it may is a finding
}

func (s *session) testCell(ctx context.Context, c *cell, opts guestOptions) error {
	sum := &results.Tests{Verdict: results.Pass}
	c.rec.Tests = sum
	first, err := s.firstKernel(ctx, c)
	if err != nil {
		return err
	}
	known := true
	for _, pkg := range s.series.Tests {
		bin, err := s.testBinary(ctx, c.arch, pkg)
		if err != nil {
			return err
		}
		job := vmtest.Job{PerTest: opts.perTest}
		if opts.run != "" {
			job.Args = append(job.Args, "-test.run="+opts.run)
		}
		how := inGuests
		if opts.fresh {
			how = inOneGuest
		}
		how.kernel = first.ID
		r, err := s.runGuest(ctx, c, s.machine(c), job, bin, how, opts.again)
		if err != nil {
			return err
		}
		known = known && r.Cached
		c.rec.QEMU = &r.QEMU
		sum.Log = r.Dir
		if r.Verdict.Kind == vmtest.Rig {
			return fmt.Errorf("guest: %s (logs in %s)", r.Verdict, r.Dir)
		}
		s.judge(sum, c, r, opts.require)
	}
	if known {
		sum.SameAs = first.instead(s, c)
	}
	return nil
}

// judge adds one binary's run to a cell's sum.
func (s *session) judge(sum *results.Tests, c *cell, r *guestRun, require bool) {
	unexpected := 0
	v := r.Verdict
	for _, t := range r.Tests {
		undue := require && t.Action == "skip" && !s.series.MaySkip(t.Name, c.patch, c.rec.Config)
		if strings.ContainsRune(t.Name, '/') && !undue {
			continue // told in its parent's outcome and output
		}
		rec := results.Test{Name: t.Name, Verdict: results.Pass, Seconds: t.Elapsed}
		switch t.Action {
		case "pass":
			sum.Passed++
		case "skip":
			rec.Output = t.Output
			if undue {
				const why = " skipped itself, and no [[skip]] of series.toml says that it may"
				rec.Verdict, rec.Output = results.Fail, t.Name+why+"\n"+t.Output
				sum.Failed++
				unexpected++
				if v.Kind == vmtest.Pass {
					v = vmtest.Verdict{Kind: vmtest.Fail, Reason: t.Name + why}
				}
				break
			}
			sum.Skipped++
			rec.Skipped = true
		default:
			rec.Verdict = results.Fail
			rec.Output = strings.TrimSpace(t.Output + "\n" + t.Reason)
			if expected(s.series, t.Name, c.patch) {
				rec.Expected = true
				sum.Expected++
			} else {
				sum.Failed++
				unexpected++
			}
		}
		sum.Cases = append(sum.Cases, rec)
	}
	verdict := results.Verdict(v.Kind)
	if v.Kind == vmtest.Fail && unexpected == 0 && sum.Expected > 0 && r.Status == 1 {
		verdict = results.Pass // all that failed was known beforehand, and the binary ran to its end
	}
	if verdict != results.Pass && sum.Verdict == results.Pass {
		sum.Verdict = verdict
		s.show.note("  %s: %s", c.name, v)
		for _, line := range v.Excerpt {
			s.show.note("    %s", line)
		}
		for _, t := range sum.Cases {
			if t.Verdict != results.Pass && !t.Expected {
				s.show.note("    --- %s", t.Name)
				for line := range strings.Lines(t.Output) {
					s.show.note("      %s", strings.TrimRight(line, "\n"))
				}
			}
		}
		s.show.note("    logs: %s", r.Dir)
	}
}
