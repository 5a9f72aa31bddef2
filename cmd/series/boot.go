// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/vmtest"
	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/initramfs"
)

// bootCmd gives a shell in a guest.
type bootCmd struct {
	ID     string `arg:"" optional:"" help:"Series whose kernel to boot; it is built if need be."`
	Arch   string `default:"amd64" placeholder:"A" help:"Architecture (default: ${default})."`
	Patch  *int   `placeholder:"N" help:"The kernel with patches 1 to N (default: the last)."`
	Kernel string `type:"existingfile" placeholder:"VMLINUX" help:"Boot this kernel instead of a series'."`
	CPUs   int    `name:"cpus" placeholder:"N" help:"Processors (default: the series', or 1)."`
	Memory string `default:"512MiB" placeholder:"SIZE" help:"Memory (default: ${default})."`
	Logs   string `placeholder:"DIR" help:"Keep the kernel's console in this folder."`

	With []string `sep:"none" placeholder:"PACKAGE[@GOARCH]" help:"Build this Go program, or those of a pattern such as ./cmd/..., for the guest and have it in the guest's PATH. May be repeated."`

	programs []vmtest.File
}

func (c *bootCmd) Help() string {
	return `The shell is u-root's gosh on a terminal of its own; the kernel's messages go to a log, and dmesg shows them. Leave with
exit or ^D. The programs of series.toml ([guest] programs) and those of --with are in the PATH; what is built for another GOARCH, as
386 for amd64, has that behind its name: ps-386.`
}

func (c *bootCmd) Run(ctx context.Context, a *app) error {
	memory, err := parseSize(c.Memory)
	if err != nil {
		return usage("--memory: %v", err)
	}
	m := vmtest.Machine{Arch: vmtest.Arch(c.Arch), Kernel: c.Kernel, CPUs: c.CPUs, Memory: memory, Dir: c.Logs, Log: a.log}
	switch {
	case c.ID == "" && c.Kernel == "":
		return usage("boot: name a series, or a kernel with --kernel")
	case c.ID != "" && c.Kernel != "":
		return usage("boot: a series and --kernel exclude each other")
	case c.ID != "":
		if err := c.build(ctx, a, &m); err != nil {
			return err
		}
	}
	if m.Cache == nil {
		if m.Cache, err = a.cache(); err != nil {
			return err
		}
	}
	return c.shell(ctx, a, m)
}

// buildPrograms builds what --with names, in a folder that is there until the guest is booted.
func (c *bootCmd) buildPrograms(ctx context.Context, dir string) error {
	arch, err := kernel.FindArch(c.Arch)
	if err != nil {
		return usage("--arch: %v", err)
	}
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	for _, name := range c.With {
		p := parseProgram(name)
		if p.pkg == "" || strings.HasPrefix(p.pkg, "-") {
			return usage("--with %q: want a Go package, or PACKAGE@GOARCH", name)
		}
		if !p.runsOn(arch) {
			return usage("--with %s: a guest of %s does not run programs for %s", name, arch.Name, p.goarch)
		}
		files, err := p.build(ctx, arch, wd, dir)
		if err != nil {
			return err
		}
		c.programs = append(c.programs, files...)
	}
	return nil
}

// build builds the series' kernel and fills in the machine.
func (c *bootCmd) build(ctx context.Context, a *app, m *vmtest.Machine) error {
	arch, err := kernel.FindArch(c.Arch)
	if err != nil {
		return usage("--arch: %v", err)
	}
	var prefixes []int
	s, err := a.open(ctx, c.ID, "boot", func(s *session) (err error) {
		prefixes, err = choosePatches(s.series, false, c.Patch)
		return err
	})
	if err != nil {
		return err
	}
	defer s.Close() // other runs may have the work folder while the shell is open
	cells := s.cells([]kernel.Arch{arch}, []*patches.Variant{nil}, prefixes)
	if err := s.build(ctx, cells); err != nil {
		return err
	}
	m.Kernel, m.Cache, m.Cmdline = cells[0].build.Image, s.store.Cache, s.series.Guest.Cmdline
	m.MultiThread = s.series.Guest.MultiThread
	if m.CPUs == 0 {
		m.CPUs = s.series.Guest.CPUs
	}
	c.programs, err = s.programs(ctx, arch)
	return err
}

// shell boots the machine and connects our terminal with the guest's.
func (c *bootCmd) shell(ctx context.Context, a *app, m vmtest.Machine) error {
	var err error
	if m.Initrd, err = initramfs.Image(ctx, m.Cache, string(m.Arch)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "series-boot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := c.buildPrograms(ctx, dir); err != nil {
		return err
	}
	if len(c.programs) > 0 {
		image := filepath.Join(dir, "initrd.cpio")
		if err := withFiles(image, m.Initrd, c.programs); err != nil {
			return err
		}
		m.Initrd = image
	}
	m.Limit = 24 * time.Hour
	fmt.Fprintf(a.stderr, "series: booting %s\n", m.Kernel)
	g, err := m.Boot(ctx)
	if err != nil {
		return err
	}
	defer g.Close()
	size := guest.Terminal{Rows: 24, Cols: 80, Term: os.Getenv("TERM")}
	if in, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		measure := func() {
			if cols, rows, err := term.GetSize(int(in.Fd())); err == nil {
				size.Cols, size.Rows = uint16(cols), uint16(rows)
			}
		}
		measure()
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return fmt.Errorf("terminal: %w", err)
		}
		defer term.Restore(int(in.Fd()), old)
		resized := make(chan os.Signal, 1)
		signal.Notify(resized, syscall.SIGWINCH)
		defer signal.Stop(resized)
		go func() {
			for {
				select {
				case <-resized:
					measure()
					g.Conn().Resize(ctx, size)
				case <-g.Ended():
					return
				}
			}
		}()
	}
	_, err = g.Run(ctx, guest.Shell(size), guest.Stdio{Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stdout})
	v := g.End(ctx)
	if err == nil && v.Kind != vmtest.Pass {
		return &coded{exitFinding, fmt.Errorf("guest: %s", v)}
	}
	return err
}
