// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/vmtest"
)

// execCmd runs a test binary in a guest, for go test -exec.
type execCmd struct {
	Kernel   string        `required:"" type:"existingfile" placeholder:"VMLINUX" help:"Kernel to boot."`
	Arch     string        `required:"" placeholder:"A" help:"Architecture of the kernel and of the binary (amd64, ppc64, ppc64le)."`
	Env      []string      `sep:"none" placeholder:"NAME[=VALUE]" help:"Variable to hand to the program; without a value, ours. May be repeated."`
	Folder   []string      `sep:"none" type:"existingdir" placeholder:"DIR" help:"Folder to have in the guest at the same path, beside the working folder. May be repeated."`
	NoFolder bool          `help:"Do not bring the working folder into the guest."`
	CPUs     int           `name:"cpus" default:"1" placeholder:"N" help:"Processors of the guest (default: ${default})."`
	Multi    bool          `name:"multi-thread" help:"Run the processors of an amd64 guest side by side, and not in turn: not safe with QEMU 7.2."`
	Memory   string        `default:"512MiB" placeholder:"SIZE" help:"Memory of the guest (default: ${default})."`
	Cmdline  []string      `sep:"none" placeholder:"ARG" help:"Word for the kernel's command line. May be repeated."`
	Limit    time.Duration `help:"Whole life of the guest; default: a minute more than -test.timeout, or 11m."`
	Logs     string        `placeholder:"DIR" help:"Keep the guest's logs in this folder."`

	// One argument, so that kong stops looking for flags of ours at the program's name.
	Command []string `arg:"" passthrough:"" help:"Static program built for the guest, such as a Go test binary, and its arguments."`
}

func (c *execCmd) Help() string {
	return `Used as "go test -exec 'series exec --kernel VMLINUX --arch ppc64' ./pkg" from any Go module (set GOARCH, and
CGO_ENABLED=0). The working folder, which go test makes the package's, is readable at the same path, up to 256 MiB;
coverage files and profiles named in the arguments are brought back. The exit status is the program's.`
}

func (c *execCmd) Run(ctx context.Context, a *app) error {
	if _, err := kernel.FindArch(c.Arch); err != nil {
		return usage("--arch: %v", err)
	}
	memory, err := parseSize(c.Memory)
	if err != nil {
		return usage("--memory: %v", err)
	}
	// kong hands on the -- that may end our own flags.
	if c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return usage("exec: no program")
	}
	program, err := filepath.Abs(c.Command[0])
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return usage("exec: %v", err)
	}
	args := c.Command[1:]
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	store, err := a.cache()
	if err != nil {
		return err
	}
	job := vmtest.Job{
		Binary: program,
		Args:   args,
		Dir:    wd,
		Env:    execEnv(c.Env),
		Stdin:  nil,
		Stdout: a.stdout,
		Stderr: a.stderr,
	}
	back := bringBack(args, wd)
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		job.Env = append(job.Env, "GOCOVERDIR="+dir)
		back.folders = append(back.folders, dir)
	}
	if !c.NoFolder {
		job.Folders = append(job.Folders, wd)
	}
	for _, f := range append(c.Folder, back.folders...) {
		abs, err := filepath.Abs(f)
		if err != nil {
			return err
		}
		job.Folders = append(job.Folders, abs)
	}
	job.Collect = append(append([]string(nil), back.folders...), back.files...)
	// What comes back goes where the host's program would have written it, and nowhere else: vmtest hands out only paths
	// at or below those that were asked for.
	job.CollectTo = func(path string) (string, error) { return path, nil }

	limit := c.Limit
	if limit == 0 {
		limit = 11 * time.Minute
		if back.timeout > 0 {
			limit = back.timeout + time.Minute
		}
	}
	m := vmtest.Machine{
		Arch:    vmtest.Arch(c.Arch),
		Kernel:  c.Kernel,
		CPUs:    c.CPUs,
		Memory:  memory,
		Limit:   limit,
		Cmdline: c.Cmdline,
		Dir:     c.Logs,
		Cache:   store,
		Log:     a.log,

		MultiThread: c.Multi,
	}
	res, err := vmtest.Exec(ctx, m, job)
	if err != nil {
		return err
	}
	switch res.Verdict.Kind {
	case vmtest.Pass:
		return nil
	case vmtest.Fail:
		if res.Status > 0 {
			return said{res.Status}
		}
	}
	err = fmt.Errorf("guest: %s", res.Verdict)
	if res.Verdict.Where.Log != "" {
		err = fmt.Errorf("%w (%s)", err, res.Verdict.Where)
	}
	for _, line := range res.Verdict.Excerpt {
		fmt.Fprintln(a.stderr, "  "+line)
	}
	if res.Verdict.Kind == vmtest.Rig {
		return err
	}
	return &coded{exitFinding, err}
}

// execEnv turns "NAME" into "NAME=our value".
func execEnv(asked []string) []string {
	var env []string
	for _, e := range asked {
		if name, _, ok := strings.Cut(e, "="); !ok {
			v, set := os.LookupEnv(name)
			if !set {
				continue
			}
			e = name + "=" + v
		}
		env = append(env, e)
	}
	return env
}

// wanted is what a test binary's arguments name that has to exist in the guest, or to come back from it.
type wanted struct {
	files   []string // absolute
	folders []string
	timeout time.Duration // of -test.timeout; 0 without one
}

// fileFlags are the flags of a test binary that name a file it writes; all but testlogfile lie below -test.outputdir
// where they are relative.
var fileFlags = map[string]bool{
	"coverprofile": true, "cpuprofile": true, "memprofile": true, "blockprofile": true, "mutexprofile": true,
	"trace": true, "testlogfile": true,
}

// bringBack reads the arguments of a test binary as package flag would.
func bringBack(args []string, wd string) wanted {
	var w wanted
	var names []string
	outputdir := wd
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			break
		}
		flag, ok := strings.CutPrefix(args[i], "-")
		if !ok {
			continue
		}
		name, ok := strings.CutPrefix(strings.TrimPrefix(flag, "-"), "test.")
		if !ok {
			continue
		}
		name, value, has := strings.Cut(name, "=")
		takes := fileFlags[name] || name == "outputdir" || name == "gocoverdir" || name == "fuzzcachedir" || name == "timeout"
		if !takes {
			continue
		}
		if !has {
			i++
			if i == len(args) {
				break
			}
			value = args[i]
		}
		switch {
		case value == "":
		case fileFlags[name]:
			names = append(names, value)
		case name == "outputdir":
			outputdir = absolute(value, wd)
		case name == "gocoverdir":
			w.folders = append(w.folders, absolute(value, wd))
		case name == "timeout":
			w.timeout, _ = time.ParseDuration(value)
		}
	}
	for _, n := range names {
		w.files = append(w.files, absolute(n, outputdir))
	}
	return w
}

func absolute(path, dir string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Clean(path)
}
