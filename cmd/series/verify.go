// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seriesrig/series/linker"
	"github.com/seriesrig/series/patches"
)

// verifyCmd proves what can be read off kernels: those of a series, which are built where they have not been, or an ELF
// file that is there.
type verifyCmd struct {
	Target  string   `arg:"" name:"ID|FILE" help:"A series, or an ELF file: a vmlinux, a module or an object."`
	Arch    []string `placeholder:"A" help:"Architectures (default: the series')."`
	Config  []string `default:"release" placeholder:"NAME" help:"Configurations: release, variants that the series names, or all (default: ${default})."`
	Patch   *int     `placeholder:"N" help:"Only the kernel with patches 1 to N; 0 is the base (default: the last)."`
	Each    bool     `help:"Every prefix of the series, the base included."`
	Section string   `placeholder:"NAME" help:"A section that has to be read-only; for a series in addition to those that it names itself."`
	Explain bool     `help:"Say why: the input sections and their object files, relocations, bounds and segments."`
	Objects []string `placeholder:"PATH" help:"For a file: kbuild's output folder, or the object files and archives it was linked from (default: the file's folder where it is kbuild's)."`
	Script  string   `placeholder:"FILE" help:"For a file: the linker script (default: kbuild's)."`
}

func (c *verifyCmd) Run(ctx context.Context, a *app) error {
	fi, err := os.Stat(c.Target)
	switch {
	case err == nil && !fi.IsDir():
		return c.file(ctx, a)
	case err != nil && strings.ContainsRune(c.Target, filepath.Separator) && errors.Is(err, fs.ErrNotExist):
		return usage("verify: %v", err)
	case len(c.Objects) > 0 || c.Script != "":
		return usage("verify: --objects and --script are for a file, and %s is none", c.Target)
	}
	return c.series(ctx, a)
}

func (c *verifyCmd) series(ctx context.Context, a *app) error {
	started := time.Now()
	flags := cellFlags{ID: c.Target, Arch: c.Arch, Config: c.Config, Patch: c.Patch, Each: c.Each}
	s, cells, err := flags.open(ctx, a, "verify")
	if err != nil {
		return err
	}
	defer s.Close()
	if c.Section != "" {
		s.series.Sections = append(s.series.Sections, patches.Section{Name: c.Section})
	}
	buildErr := s.build(ctx, cells)
	if buildErr != nil && !isFinding(buildErr) {
		return buildErr
	}
	if _, err := s.verify(ctx, cells); err != nil {
		return err
	}
	r, err := s.record(started, cells)
	if err != nil {
		return err
	}
	s.show.wait()
	if !a.cli.JSON {
		for _, cell := range cells {
			if err := c.print(a, cell); err != nil {
				return err
			}
		}
	}
	return s.finish(r, buildErr)
}

// print prints the proofs of a cell.
func (c *verifyCmd) print(a *app, cell *cell) error {
	if cell.build == nil {
		return nil
	}
	fmt.Fprintf(a.stdout, "%s\n", cell.name)
	for _, p := range cell.rec.Proofs {
		printProof(a, linker.Proof(p))
	}
	for _, x := range cell.explained {
		if !c.Explain {
			break
		}
		fmt.Fprintln(a.stdout)
		if err := x.WriteText(a.stdout); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(a.stdout)
	return err
}

func printProof(a *app, p linker.Proof) {
	word := "ok  "
	if !p.Pass {
		word = "FAIL"
	}
	fmt.Fprintf(a.stdout, "  %s  %-32s %s\n", word, p.Name, p.Detail)
}

// A fileReport is what `series verify FILE --json` prints. Fields may be added, never renamed.
type fileReport struct {
	File     string                `json:"file"`
	Verdict  string                `json:"verdict"` // pass or fail
	Proofs   []linker.Proof        `json:"proofs"`
	Sections []*linker.Explanation `json:"sections,omitempty"`
}

// file judges an ELF file. One that cannot be read is the user's to mend.
func (c *verifyCmd) file(ctx context.Context, a *app) error {
	for name, given := range map[string]bool{"--arch": len(c.Arch) > 0, "--patch": c.Patch != nil, "--each": c.Each} {
		if given {
			return usage("verify: %s is for a series, and %s is a file", name, c.Target)
		}
	}
	r := fileReport{File: c.Target, Verdict: "pass"}
	if c.Section == "" {
		if c.Explain {
			return usage("verify: --explain needs --section NAME")
		}
		if err := relocatable(c.Target); err != nil {
			return err
		}
		var err error
		if r.Proofs, err = linker.Prove(c.Target, linker.Want{}); err != nil {
			return &coded{exitUsage, err}
		}
	} else {
		x, err := linker.Explain(ctx, c.Target, c.Section, c.inputs())
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			return &coded{exitUsage, err}
		}
		r.Proofs, r.Sections = x.Proofs(), append(r.Sections, x)
	}
	for _, p := range r.Proofs {
		if !p.Pass {
			r.Verdict = "fail"
		}
	}
	if err := c.printFile(a, r); err != nil {
		return err
	}
	if r.Verdict != "pass" {
		return said{exitFinding}
	}
	return nil
}

func (c *verifyCmd) printFile(a *app, r fileReport) error {
	if a.cli.JSON {
		return a.printJSON(r)
	}
	for _, p := range r.Proofs {
		printProof(a, p)
	}
	for _, x := range r.Sections {
		if !c.Explain {
			break
		}
		fmt.Fprintln(a.stdout)
		if err := x.WriteText(a.stdout); err != nil {
			return err
		}
	}
	return nil
}

// relocatable refuses modules and objects, of which nothing is proved but of a section.
func relocatable(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return nil // the proofs will say what is wrong with it
	}
	defer f.Close()
	if f.Type == elf.ET_REL {
		return usage("verify %s: this is an object or a module: say which --section of it has to be read-only", path)
	}
	return nil
}

// inputs says where the file's input objects are.
func (c *verifyCmd) inputs() linker.Inputs {
	in := linker.Inputs{Script: c.Script}
	if len(c.Objects) == 1 {
		if fi, err := os.Stat(c.Objects[0]); err == nil && fi.IsDir() {
			in.Dir = c.Objects[0]
			return in
		}
	}
	if in.Files = c.Objects; len(in.Files) > 0 {
		return in
	}
	// kbuild's output folder is where vmlinux.a or scripts/module.lds is: beside the file, or above a module.
	dir, err := filepath.Abs(filepath.Dir(c.Target))
	for err == nil {
		for _, name := range []string{"vmlinux.a", "scripts/module.lds"} {
			if _, statErr := os.Stat(filepath.Join(dir, name)); statErr == nil {
				in.Dir = dir
				return in
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return in
}
