// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/vmtest"
	"github.com/seriesrig/series/vmtest/initramfs"
)

// programsPath is the first folder of a guest's PATH: a program there goes before one of the base image with the same name.
const programsPath = "/bbin"

// also are the GOARCHes whose programs a guest runs beside those of its own.
var also = map[string][]string{"amd64": {"386"}}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// A guestProgram is a Go program for guests.
type guestProgram struct {
	pkg    string // as go build takes it: a package, or a pattern such as ./cmd/...
	goarch string // "" means the guest's
}

// parseProgram reads PACKAGE or PACKAGE@GOARCH.
func parseProgram(s string) guestProgram {
	pkg, goarch, _ := strings.Cut(s, "@")
	return guestProgram{pkg, goarch}
}

// runsOn says whether a guest of the architecture can run the program.
func (p guestProgram) runsOn(arch kernel.Arch) bool {
	if p.goarch == "" || p.goarch == arch.GoArch {
		return true
	}
	for _, a := range also[arch.GoArch] {
		if a == p.goarch {
			return true
		}
	}
	return false
}

// build builds the program, or those of the pattern, below the folder out, where they stay for the go command to see that there is
// nothing to do the next time. Packages are named as seen from dir. In a guest, a program has the name of its package, and behind
// it -GOARCH where that was asked for.
func (p guestProgram) build(ctx context.Context, arch kernel.Arch, dir, out string) ([]vmtest.File, error) {
	goarch, suffix := arch.GoArch, ""
	if p.goarch != "" {
		goarch, suffix = p.goarch, "-"+p.goarch
	}
	goTool := func(args ...string) (string, error) {
		var stdout strings.Builder
		cmd := run.Cmd{Name: "go", Args: args, Dir: dir, Stdout: &stdout,
			Env: run.CleanEnv("GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0", "GOWORK=off")}
		err := cmd.Run(ctx)
		var exit *run.ExitError
		if errors.As(err, &exit) {
			err = &coded{exitUsage, fmt.Errorf("program %s (in %s) does not build for %s:\n%s", p.pkg, dir, goarch, strings.TrimSpace(exit.Stderr))}
		}
		return stdout.String(), err
	}
	list, err := goTool("list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, "--", p.pkg)
	if err != nil {
		return nil, err
	}
	var files []vmtest.File
	for pkg := range strings.FieldsSeq(list) {
		name := path.Base(pkg)
		if majorVersion.MatchString(name) && strings.Contains(pkg, "/") {
			name = path.Base(path.Dir(pkg))
		}
		to := filepath.Join(out, goarch, filepath.FromSlash(pkg), name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return nil, err
		}
		if _, err := goTool("build", "-trimpath", "-ldflags=-s -w", "-o", to, "--", pkg); err != nil {
			return nil, err
		}
		files = append(files, vmtest.File{Path: path.Join(programsPath, name+suffix), Mode: 0o755, From: to})
	}
	if len(files) == 0 {
		return nil, usage("%s (in %s): there is no package main", p.pkg, dir)
	}
	return files, nil
}

// programs builds what series.toml has for the guests of an architecture.
func (s *session) programs(ctx context.Context, arch kernel.Arch) ([]vmtest.File, error) {
	root, err := filepath.Abs(s.app.root())
	if err != nil {
		return nil, err
	}
	var files []vmtest.File
	for _, name := range s.series.Guest.Programs {
		p := parseProgram(name)
		if !p.runsOn(arch) {
			continue
		}
		built, err := p.build(ctx, arch, root, filepath.Join(s.store.Dir, "testbin", s.series.ID, arch.Name, "programs"))
		if err != nil {
			return nil, err
		}
		files = append(files, built...)
	}
	return files, nil
}

// addPrograms puts the series' programs into the guests of a test binary: what runs in them is then another thing, too.
func (s *session) addPrograms(ctx context.Context, arch kernel.Arch, b *testBinary) error {
	files, err := s.programs(ctx, arch)
	if err != nil {
		return err
	}
	for _, f := range files {
		hash, err := cache.HashFile(f.From)
		if err != nil {
			return err
		}
		b.hash = cache.KeyOf(b.hash, f.Path, hash)
	}
	b.files = append(b.files, files...)
	return nil
}

// withFiles makes an image of a base image and files.
func withFiles(image, base string, files []vmtest.File) error {
	var a initramfs.Archive
	for _, f := range files {
		if err := a.AddFile(f.Path, f.From); err != nil {
			return err
		}
	}
	_, err := initramfs.Concat(image, &a, base)
	return err
}
