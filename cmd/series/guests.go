// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
	"github.com/seriesrig/series/vmtest/initramfs"
)

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
