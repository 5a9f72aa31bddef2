// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

// Package gobuild measures a real build in a guest: Go's compiler, assembler and linker make a program of five packages of the
// standard library, which is then run. It is the counterpart of kernbench, which compiles a kernel: many processes that live
// for a moment, read and write files, and allocate memory.
//
// A guest has the toolchain where series.toml names the benchmark's package in toolchain, in [guest]. It is of the Go release that
// series itself was built with, and what the runtime consists of is compiled beforehand.
package gobuild

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/mark"
)

// Path is where a guest has its toolchain.
const Path = "/usr/lib/gobuild"

// A Toolchain is what a guest builds with, and what it builds.
type Toolchain struct {
	dir  string
	plan plan
}

// A plan is one of initramfs.Plan.
type plan struct {
	Env     []string
	Folders []string
	Steps   [][]string
	Program string
	Prints  string
}

// Open reads a toolchain's plan.
func Open(dir string) (*Toolchain, error) {
	t := &Toolchain{dir: dir}
	b, err := os.ReadFile(filepath.Join(dir, "plan.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("toolchain: %w: series.toml has to name this package in toolchain, in [guest]", err)
	}
	if err == nil {
		err = json.Unmarshal(b, &t.plan)
	}
	if err == nil && (len(t.plan.Steps) == 0 || t.plan.Program == "" || t.plan.Prints == "") {
		err = errors.New("the plan has no steps, no program, or nothing that it prints")
	}
	if err != nil {
		return nil, fmt.Errorf("toolchain %s: %w", dir, err)
	}
	return t, nil
}

// Times are what a build took.
type Times struct {
	Elapsed      time.Duration
	User, System time.Duration // of this process and all that it started, as getrusage(2) has them
	First, Last  int           // marks: Elapsed is what is between them
}

// CPU is the share of one CPU that the build had, in percent.
func (t Times) CPU() float64 { return 100 * float64(t.User+t.System) / float64(t.Elapsed) }

// Build builds the program once, and sees that it is what it should be. The folder work is made anew.
func (t *Toolchain) Build(work string) (Times, error) {
	if err := t.prepare(work); err != nil {
		return Times{}, fmt.Errorf("prepare build: %w", err)
	}
	before, err := usage()
	if err != nil {
		return Times{}, err
	}
	first := mark.Here()
	start := time.Now()
	for _, step := range t.plan.Steps {
		cmd := exec.Command(step[0], step[1:]...)
		cmd.Dir, cmd.Env = work, t.plan.Env
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return Times{}, fmt.Errorf("build: %q: %w\n%s", step, err, out.Bytes())
		}
	}
	elapsed := time.Since(start)
	last := mark.Here()
	after, err := usage()
	if err != nil {
		return Times{}, err
	}
	return Times{elapsed, after.User - before.User, after.System - before.System, first, last}, t.check(work)
}

func (t *Toolchain) prepare(work string) error {
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	for _, name := range []string{"bin", "pkg", "src", "importcfg"} {
		if err := os.Symlink(filepath.Join(t.dir, name), filepath.Join(work, name)); err != nil {
			return err
		}
	}
	for _, dir := range t.plan.Folders {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// check runs what was built.
func (t *Toolchain) check(work string) error {
	cmd := exec.Command(filepath.Join(work, t.plan.Program))
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil || out.String() != t.plan.Prints {
		return fmt.Errorf("the program that was built prints %q (%v), want %q", out.String(), err, t.plan.Prints)
	}
	return nil
}

// usage is the CPU time of this process and of its children that have ended.
func usage() (Times, error) {
	var t Times
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			return t, fmt.Errorf("getrusage: %w", err)
		}
		t.User += time.Duration(r.Utime.Nano())
		t.System += time.Duration(r.Stime.Nano())
	}
	return t, nil
}
