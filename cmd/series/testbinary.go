// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/vmtest"
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

// compile builds what is to run in the guests of the cells, before the kernels: a mistake in a test is told within seconds.
func (s *session) compile(ctx context.Context, cells []*cell, packages ...string) error {
	done := map[string]bool{}
	for _, c := range cells {
		if !c.tested() || done[c.arch.Name] {
			continue
		}
		done[c.arch.Name] = true
		for _, pkg := range packages {
			if _, err := s.testBinary(ctx, c.arch, pkg); err != nil {
				return err
			}
		}
	}
	return nil
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
	hash, err := cache.HashFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return testBinary{}, usage("test package %s (in %s) has no test files with the build tag guest", pkg, root)
	}
	return testBinary{pkg: pkg, path: path, hash: hash}, err
}
