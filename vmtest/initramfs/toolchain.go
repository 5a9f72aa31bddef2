// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
)

// ToolchainPath is where a guest has its toolchain; vmtest/guesttests/internal/gobuild looks for it there.
const ToolchainPath = "/usr/lib/gobuild"

// The program that a guest builds, and what it prints to standard error.
var (
	//go:embed toolchain/main.go.txt
	builtMain string
	//go:embed toolchain/want.txt
	builtWant string
)

// builtFrom is the package whose closure is compiled beforehand: with it comes the runtime, which is 30 packages, and compiling
// them would take a guest longer than all else.
const builtFrom = "io"

// toolchainTools are the programs of a toolchain, packages of cmd/.
var toolchainTools = []string{"asm", "compile", "link", "pack"}

// asmHeaders are what assembly files of the standard library include from outside their packages.
var asmHeaders = []string{"textflag.h", "funcdata.h", "asm_amd64.h", "asm_ppc64x.h"}

// A Plan is how a guest builds the program. All paths are relative to a folder in which bin, pkg, src and importcfg lead to those of the
// toolchain, and out is an empty folder with the folders of Folders in it.
type Plan struct {
	Go      string     `json:"go"`      // the release that it is made of
	Env     []string   `json:"env"`     // all that the steps get
	Folders []string   `json:"folders"` // below out
	Steps   [][]string `json:"steps"`   // a program and its arguments each, one after the other
	Program string     `json:"program"` // what the last step makes
	Prints  string     `json:"prints"`  // what that prints to standard error
}

// Toolchain returns a folder with Go's compiler, assembler and linker as programs of an architecture, what they build a program
// from, and plan.json, a Plan: to be put into a guest at ToolchainPath. It is made where the cache has none. That needs Go
// with the source of its commands, and takes some minutes.
func Toolchain(ctx context.Context, c *cache.Cache, goarch string) (dir string, err error) {
	tool, err := goTool(ctx, goarch)
	if err != nil {
		return "", err
	}
	key := cache.KeyOf(append([]string{"toolchain 2", tool.version, goarch, builtMain, builtWant, builtFrom}, toolchainTools...)...)
	plan, err := fill(ctx, c, key, "plan.json", func(ctx context.Context, work, out string) error {
		b := &builder{work: work, dir: filepath.Dir(out), goarch: goarch, tool: tool}
		if err := b.make(ctx, out); err != nil {
			return fmt.Errorf("make Go toolchain for guests of %s: %w", goarch, err)
		}
		return nil
	})
	return filepath.Dir(plan), err
}

// A builder makes a toolchain.
type builder struct {
	work, dir string
	goarch    string
	tool      gotool
	plan      Plan
	importcfg bytes.Buffer
	out       map[string]bool
}

// A builtPackage is what go list says of a package.
type builtPackage struct {
	ImportPath, Dir, Export  string
	GoFiles, SFiles, HFiles  []string
	CgoFiles, EmbedFiles     []string
	SwigFiles, SysoFiles     []string
	CFiles, CXXFiles, FFiles []string
	ImportMap                map[string]string
	Standard                 bool
}

func (b *builder) make(ctx context.Context, planPath string) error {
	for _, dir := range []string{"bin", "pkg", "src/main"} {
		if err := os.MkdirAll(filepath.Join(b.dir, dir), 0o755); err != nil {
			return err
		}
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(b.dir, "bin") + "/"}
	for _, name := range toolchainTools {
		args = append(args, "cmd/"+name)
	}
	if err := (run.Cmd{Name: "go", Args: args, Dir: b.work, Env: goEnv(b.goarch)}).Run(ctx); err != nil {
		return err
	}
	err := writeFiles(b.work, map[string]string{"go.mod": "module program\n\ngo 1.26\n", "main.go": builtMain})
	if err != nil {
		return err
	}
	before, err := b.list(ctx, builtFrom)
	if err != nil {
		return err
	}
	all, err := b.list(ctx, ".")
	if err != nil {
		return err
	}
	b.plan = Plan{Go: b.tool.version, Program: "out/program", Prints: builtWant, Env: []string{
		// No garbage is collected, and no goroutine is stopped in its way by a signal: when they are is by chance, and
		// made builds differ more than what is measured with them.
		"GOGC=off", "GODEBUG=asyncpreemptoff=1",
		"GOOS=linux", "GOARCH=" + b.goarch, "GOAMD64=v1", "GOPPC64=power8", "CGO_ENABLED=0", "GOROOT=/nonexistent", "TMPDIR=out"}}
	b.out = map[string]bool{}
	for _, p := range all {
		known := slices.ContainsFunc(before, func(q builtPackage) bool { return q.ImportPath == p.ImportPath })
		switch {
		case p.ImportPath == "unsafe":
		case known:
			err = b.prebuilt(p)
		default:
			err = b.compile(p)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.ImportPath, err)
		}
	}
	b.plan.Steps = append(b.plan.Steps, []string{"bin/link", "-importcfg", "importcfg", "-buildmode=exe", "-s", "-w", "-o", b.plan.Program, "out/main.a"})
	for dir := range b.out {
		b.plan.Folders = append(b.plan.Folders, dir)
	}
	slices.Sort(b.plan.Folders)
	plan, err := json.MarshalIndent(b.plan, "", "\t")
	return errors.Join(err, os.WriteFile(filepath.Join(b.dir, "importcfg"), b.importcfg.Bytes(), 0o644), os.WriteFile(planPath, plan, 0o644))
}

// list asks for a package and all that it imports, each after what it imports itself, and compiles them without what a
// debugger would want of them.
func (b *builder) list(ctx context.Context, pkg string) ([]builtPackage, error) {
	out, err := run.Cmd{Name: "go", Args: []string{"list", "-deps", "-export", "-trimpath", "-gcflags=all=-dwarf=false", "-json", pkg},
		Dir: b.work, Env: goEnv(b.goarch)}.Output(ctx)
	if err != nil {
		return nil, err
	}
	var all []builtPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p builtPackage
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}

func (b *builder) prebuilt(p builtPackage) error {
	archive := path.Join("pkg", p.ImportPath+".a")
	fmt.Fprintf(&b.importcfg, "packagefile %s=%s\n", p.ImportPath, archive)
	return copyFile(filepath.Join(b.dir, archive), p.Export)
}

// compile plans what go build would do for the package, and brings its source.
func (b *builder) compile(p builtPackage) error {
	if n := len(p.CgoFiles) + len(p.EmbedFiles) + len(p.SwigFiles) + len(p.SysoFiles) + len(p.CFiles) + len(p.CXXFiles) + len(p.FFiles); n > 0 || len(p.ImportMap) > 0 {
		return errors.New("it takes more than the compiler and the assembler to build it")
	}
	name, std := p.ImportPath, []string{"-std"}
	if !p.Standard {
		name, std = "main", nil
	}
	src, out := path.Join("src", name), path.Join("out", name)
	for _, f := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles) {
		if err := copyFile(filepath.Join(b.dir, src, f), filepath.Join(p.Dir, f)); err != nil {
			return err
		}
	}
	to := []string{"-p", name, "-trimpath", src + "=>" + name}
	compile := slices.Concat([]string{"bin/compile"}, to, std, []string{"-importcfg", "importcfg", "-pack", "-c=1", "-dwarf=false", "-o", out + ".a"})
	sources := prefixed(src, p.GoFiles)
	b.folder(path.Dir(name))
	if len(p.SFiles) == 0 {
		b.step(compile, sources) // and not with -complete: some packages have functions that the runtime brings
	} else if err := b.assemble(p, name, compile, sources, to); err != nil {
		return err
	}
	if name != "main" {
		fmt.Fprintf(&b.importcfg, "packagefile %s=%s.a\n", name, out)
	}
	return nil
}

// assemble plans the building of a package with assembly files: the compiler must know what they define, and they what it does.
func (b *builder) assemble(p builtPackage, name string, compile, sources, to []string) error {
	src, out := path.Join("src", name), path.Join("out", name)
	for _, f := range asmHeaders {
		if err := copyFile(filepath.Join(b.dir, "pkg/include", f), filepath.Join(b.tool.root, "pkg/include", f)); err != nil {
			return err
		}
	}
	// The first step has to find what only the second one makes; later ones find that before they find this.
	if err := os.WriteFile(filepath.Join(b.dir, "pkg/include/go_asm.h"), nil, 0o644); err != nil {
		return err
	}
	b.folder(name)
	asm := slices.Concat([]string{"bin/asm"}, to, []string{"-I", out, "-I", src, "-I", "pkg/include",
		"-D", "GOOS_linux", "-D", "GOARCH_" + b.goarch, "-D", "GOAMD64_v1", "-D", "GOPPC64_power8"})
	b.step(asm, []string{"-gensymabis", "-o", out + "/symabis"}, prefixed(src, p.SFiles))
	b.step(compile, []string{"-symabis", out + "/symabis", "-asmhdr", out + "/go_asm.h"}, sources)
	pack := []string{"bin/pack", "r", out + ".a"}
	for _, f := range p.SFiles {
		object := path.Join(out, strings.TrimSuffix(f, ".s")+".o")
		b.step(asm, []string{"-o", object, path.Join(src, f)})
		pack = append(pack, object)
	}
	b.step(pack)
	return nil
}

func (b *builder) step(parts ...[]string) {
	b.plan.Steps = append(b.plan.Steps, slices.Concat(parts...))
}

func (b *builder) folder(name string) { b.out[path.Join("out", name)] = true }

func prefixed(dir string, names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, path.Join(dir, name))
	}
	return out
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
