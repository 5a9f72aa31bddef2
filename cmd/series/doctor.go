// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
)

// doctorCmd looks whether this host has what the verbs need.
type doctorCmd struct {
	Arch []string `placeholder:"A" help:"Architectures to look for (default: all that series knows)."`
}

func (c *doctorCmd) Help() string {
	return `The exit status is 0 when all that the verbs need is there, and 3 when something is missing or does not work. What is
optional and missing is only told.`
}

// A diagnosis is what --json prints.
type diagnosis struct {
	OK        bool             `json:"ok"`
	Series    string           `json:"series"` // version
	Host      results.Host     `json:"host"`
	Tools     []toolReport     `json:"tools"`
	KVM       kvmReport        `json:"kvm"`
	Snapshots []snapshotReport `json:"snapshots"`
	Work      workReport       `json:"work"`
	Install   []string         `json:"install"` // Debian packages: what is needed and what is optional
}

type kvmReport struct {
	Usable bool   `json:"usable"`
	Reason string `json:"reason"`
}

// A snapshotReport tells whether QEMU can write a guest's state, which tests are restored from.
type snapshotReport struct {
	QEMU    string `json:"qemu"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

type workReport struct {
	Dir     string           `json:"dir"`
	Free    int64            `json:"free"`           // bytes
	Size    int64            `json:"size"`           // bytes, of the file system
	Kinds   map[string]int64 `json:"kinds"`          // bytes that each kind takes
	Cache   int64            `json:"cache"`          // bytes that the cache takes
	Limit   int64            `json:"cache_limit"`    // bytes; 0: none
	Holder  string           `json:"lock,omitempty"` // who works in it just now
	Problem string           `json:"problem,omitempty"`
}

// leastFree is what a first run takes at least: an unpacked base, and an object folder and a tree an architecture.
const leastFree = 5 << 30

func (c *doctorCmd) Run(ctx context.Context, a *app) error {
	arches := kernel.Arches
	if len(c.Arch) > 0 {
		arches = nil
		for _, name := range c.Arch {
			arch, err := kernel.FindArch(name)
			if err != nil {
				return usage("--arch: %v", err)
			}
			arches = append(arches, arch)
		}
	}
	d := &diagnosis{Series: version(), Host: results.ThisHost(), Snapshots: []snapshotReport{}, Install: []string{}}
	var err error
	if d.Tools, err = examine(ctx, needs(arches)); err != nil {
		return err
	}
	if d.Work, err = a.examineWork(ctx); err != nil {
		return err
	}
	if err := d.examineGuests(ctx, a, arches); err != nil {
		return err
	}
	d.conclude()
	if a.cli.JSON {
		err = a.printJSON(d)
	} else {
		err = d.print(a)
	}
	if err == nil && !d.OK {
		return said{exitRig}
	}
	return err
}

// examineWork looks at the work folder, or at the one above it that is there.
func (a *app) examineWork(ctx context.Context) (workReport, error) {
	work, err := a.work()
	if err != nil {
		return workReport{}, err
	}
	r := workReport{Dir: work, Kinds: map[string]int64{}}
	there := work
	for there != filepath.Dir(there) {
		if _, err := os.Stat(there); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		there = filepath.Dir(there)
	}
	if r.Free, r.Size, err = diskSpace(there); err != nil {
		r.Problem = err.Error()
		return r, nil
	}
	if r.Limit, err = a.cacheLimit(there); err != nil {
		return r, err
	}
	if r.Free < leastFree {
		r.Problem = fmt.Sprintf("less than %s free; see series clean -n --older 7d", formatSize(leastFree))
	}
	if there != work {
		return r, nil
	}
	busy, err := lockedBy(filepath.Join(work, "lock"))
	if err != nil {
		r.Problem = err.Error()
		return r, nil
	}
	if busy {
		r.Holder = "another process"
		if b, err := os.ReadFile(filepath.Join(work, "lock")); err == nil && len(b) > 0 {
			r.Holder = visible(strings.TrimSpace(string(b)))
		}
	}
	store, err := cache.Open(filepath.Join(work, "cache"))
	if err != nil {
		r.Problem = err.Error()
		return r, nil
	}
	all, err := things(ctx, work, store)
	if err != nil {
		return r, err
	}
	for _, t := range all {
		r.Kinds[t.Kind] += t.Size
		if strings.HasPrefix(t.Name, "cache/") {
			r.Cache += t.Size
		}
	}
	return r, nil
}

// examineGuests looks what the QEMUs that are there can do.
func (d *diagnosis) examineGuests(ctx context.Context, a *app, arches []kernel.Arch) error {
	d.KVM.Reason = "no guest of the host's architecture was asked for"
	var seen []string
	for _, arch := range arches {
		qemu := qemuOf(arch)
		if slices.Contains(seen, qemu) || !slices.ContainsFunc(d.Tools, func(t toolReport) bool { return t.Name == qemu && t.OK }) {
			continue
		}
		seen = append(seen, qemu)
		s := snapshotReport{QEMU: qemu, OK: true}
		if err := probeSnapshot(ctx, qemu, arch); err != nil {
			s.OK, s.Problem = false, visible(err.Error())
		}
		d.Snapshots = append(d.Snapshots, s)
		if arch.Name != string(vmtest.AMD64) {
			continue
		}
		v, err := a.probeKVM(ctx)
		if err != nil && ctx.Err() != nil {
			return err
		}
		d.KVM = kvmReport{Usable: v.Usable, Reason: v.Reason}
		if err != nil {
			d.KVM.Reason = visible(err.Error())
		}
	}
	return ctx.Err()
}

// probeKVM keeps its verdict in the work folder, but does not make one.
func (a *app) probeKVM(ctx context.Context) (vmtest.KVMVerdict, error) {
	work, err := a.work()
	if err != nil {
		return vmtest.KVMVerdict{}, err
	}
	dir := filepath.Join(work, "cache")
	if _, err := os.Stat(work); errors.Is(err, fs.ErrNotExist) {
		if dir, err = os.MkdirTemp("", "series-doctor-"); err != nil {
			return vmtest.KVMVerdict{}, err
		}
		defer os.RemoveAll(dir)
	}
	store, err := cache.Open(dir)
	if err != nil {
		return vmtest.KVMVerdict{}, err
	}
	return vmtest.ProbeKVM(ctx, store)
}

// probeSnapshot has QEMU write the state of an empty machine through a command, which is how snapshots are taken.
func probeSnapshot(ctx context.Context, qemu string, arch kernel.Arch) error {
	machine := "pseries"
	if arch.Name == string(vmtest.AMD64) {
		machine = "microvm"
	}
	limit, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := run.Cmd{Name: qemu, Args: []string{"-nodefaults", "-no-user-config", "-display", "none", "-S",
		"-machine", machine, "-accel", "tcg", "-m", "256M", "-monitor", "stdio"},
		Stdin: strings.NewReader("migrate \"exec:cat >/dev/null\"\ninfo migrate\nquit\n")}.Output(limit)
	switch {
	case err != nil:
		return err
	case !bytes.Contains(out, []byte("Migration status: completed")):
		return fmt.Errorf("%s does not write a guest's state to a command", qemu)
	}
	return nil
}

// conclude says what is to be installed, and whether all is well.
func (d *diagnosis) conclude() {
	d.OK = d.Work.Problem == ""
	for _, t := range d.Tools {
		d.OK = d.OK && (t.OK || t.Optional)
		if t.Package != "" && !slices.Contains(d.Install, t.Package) {
			d.Install = append(d.Install, t.Package)
		}
	}
	for _, s := range d.Snapshots {
		d.OK = d.OK && s.OK
	}
	slices.Sort(d.Install)
}

func (d *diagnosis) print(a *app) error {
	h := d.Host
	fmt.Fprintf(a.stdout, "series %s on %s, Linux %s, %d CPUs, %s of memory\n\n", d.Series, visible(h.OS), visible(h.Kernel), h.Cores, formatSize(h.Memory))
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(ok bool, bad, name, text string) {
		state := "ok"
		if !ok {
			state = bad
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", state, name, text)
	}
	for _, t := range d.Tools {
		text, bad := t.Version, "MISSING"
		if text == "" {
			text = t.Path
		}
		if t.Optional {
			bad = "optional"
		}
		if !t.OK {
			text = fmt.Sprintf("%s; for: %s", t.Problem, t.Purpose)
		}
		row(t.OK, bad, t.Name, text)
	}
	for _, s := range d.Snapshots {
		text := s.QEMU + " writes a guest's state"
		if !s.OK {
			text = s.Problem
		}
		row(s.OK, "BROKEN", "snapshots", text)
	}
	row(d.KVM.Usable, "no", "kvm", d.KVM.Reason)
	wr := d.Work
	text := fmt.Sprintf("%s free of %s", formatSize(wr.Free), formatSize(wr.Size))
	if wr.Problem != "" {
		text += "; " + wr.Problem
	}
	row(wr.Problem == "", "LOW", "disk", text)
	row(true, "", "work", wr.Dir)
	if wr.Holder != "" {
		row(false, "in use", "work", "by "+wr.Holder)
	}
	limit := "no limit"
	if wr.Limit > 0 {
		limit = "at most " + formatSize(wr.Limit)
	}
	row(true, "", "cache", formatSize(wr.Cache)+", "+limit)
	for _, k := range workKinds {
		if size := wr.Kinds[k.name]; size > 0 {
			fmt.Fprintf(w, "\t  %s\t%s\n", k.name, formatSize(size))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(d.Install) > 0 {
		fmt.Fprintf(a.stdout, "\nOn Debian: apt-get install --no-install-recommends %s\n", strings.Join(d.Install, " "))
	}
	return nil
}
